//! IngressClass, v1 and v1beta1 (K1).

use super::super::class::IngressClass;
use super::super::field::{Fields, Path, Refused, Report};
use super::super::names;
use super::Metadata;

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

pub(super) fn decode(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: &Metadata,
) -> Result<IngressClass, Refused> {
    let spec_at = at.field("spec");
    let empty = Fields::new();
    let spec = report.optional_fields(at, fields, "spec")?.unwrap_or(&empty);
    let controller = report.required_text(&spec_at, spec, "controller")?;
    if !is_controller(controller) {
        return Err(report.invalid(
            &spec_at.field("controller"),
            format!(
                "{controller:?} is not a domain-prefixed path of at most 250 bytes, such as \
                 genkan.io/ingress-controller"
            ),
        ));
    }
    Ok(IngressClass {
        name: metadata.object.name.clone(),
        controller: controller.into(),
        is_default: is_default(report, at, fields),
    })
}

/// A value that is not readable is as good as none: the class works all the same.
fn is_default(report: &mut Report<'_>, at: &Path<'_>, fields: &Fields) -> bool {
    let metadata_at = at.field("metadata");
    let Ok(Some(metadata)) = report.optional_fields(at, fields, "metadata") else { return false };
    let Ok(Some(annotations)) = report.optional_fields(&metadata_at, metadata, "annotations")
    else {
        return false;
    };
    let annotations_at = metadata_at.field("annotations");
    annotations
        .get(IS_DEFAULT)
        .and_then(|value| report.text(&annotations_at.entry(IS_DEFAULT), value).ok())
        .is_some_and(|text| text == "true")
}

fn is_controller(text: &str) -> bool {
    let Some((domain, path)) = text.split_once('/') else { return false };
    text.len() <= 250
        && names::is_subdomain(domain)
        && !path.is_empty()
        && path.split('/').all(|segment| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&b))
        })
}
