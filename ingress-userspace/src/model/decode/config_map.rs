//! ConfigMap v1: `data`. What is in `binaryData` is no text that an annotation could mean.

use std::sync::Arc;

use super::super::config_map::ConfigMap;
use super::super::field::{Fields, Path, Refused, Report};
use super::Metadata;

/// A value that is no string refuses the whole: a part of it could mean something else.
pub(super) fn decode(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
) -> Result<ConfigMap, Refused> {
    let data_at = at.field("data");
    let data = report.optional_fields(at, fields, "data")?;
    let texts = data.into_iter().flatten().map(|(key, value)| {
        let text = report.text(&data_at.entry(key), value)?;
        Ok((Arc::from(key.as_str()), Arc::from(text)))
    });
    let data = texts.collect::<Result<_, Refused>>()?;
    Ok(ConfigMap { object: metadata.object, data: Arc::new(data) })
}
