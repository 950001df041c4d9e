//! The token may do what `deploy/docs/rbac.md` says, and nothing else.

use std::collections::BTreeSet;

use super::lab::{Lab, NAMESPACE, file, lab};

/// Resource, names, verbs.
type Right = (String, String, String);

/// The rows of the table number `table` (from 0) under "What is granted".
fn documented(table: usize) -> BTreeSet<Right> {
    let document = file("deploy/docs/rbac.md");
    let section = document.split("\n## ").find(|part| part.starts_with("What is granted")).unwrap();
    let table = section.split("| resource | verbs | why |").nth(table + 1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let resource = cells[0].split('`').nth(1).unwrap();
        (resource.to_owned(), "[]".to_owned(), format!("[{}]", cells[1].replace(", ", " ")))
    })
    .collect()
}

/// What a ServiceAccount may do in a namespace, as the API server lists it.
fn listed(lab: &Lab, account: &str, namespace: &str) -> BTreeSet<Right> {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{account}");
    let list = ["auth", "can-i", "--list", &account, "--namespace", namespace, "--no-headers"];
    let text = lab.kubectl(&list).good();
    // Columns are as wide as their widest entry: resources, URLs, names, verbs.
    text.lines()
        .map(|line| {
            let cells: Vec<&str> =
                line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            let [resource @ .., _, names, verbs] = &cells[..] else { panic!("{line}") };
            let verbs = verbs.trim_matches(['[', ']']);
            let verbs: BTreeSet<&str> = verbs.split(' ').collect();
            let verbs = verbs.into_iter().collect::<Vec<_>>().join(" ");
            (resource.concat(), (*names).to_owned(), format!("[{verbs}]"))
        })
        .collect()
}

/// What it may do beyond what every ServiceAccount may.
fn granted(lab: &Lab, namespace: &str) -> BTreeSet<Right> {
    let everybody = listed(lab, "nobody", namespace);
    listed(lab, "rights", namespace).difference(&everybody).cloned().collect()
}

fn apply(lab: &Lab, settings: &[&str]) {
    let mut arguments = vec!["template", "rights", "deploy/chart"];
    for template in ["templates/rbac.yaml", "templates/serviceaccount.yaml"] {
        arguments.extend(["--show-only", template]);
    }
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let manifests = lab.helm(&arguments).good();
    lab.kubectl_with(&["apply", "-f", "-"], &manifests).good();
}

fn remove(lab: &Lab) {
    let label = ["--selector", "app.kubernetes.io/instance=rights"];
    let kinds = "clusterrolebindings,clusterroles";
    lab.kubectl(&[&["delete", kinds], &label[..]].concat()).good();
    lab.kubectl(&[&["delete", "rolebindings,roles", "--all-namespaces"], &label[..]].concat())
        .good();
}

fn namespace(lab: &Lab, name: &str) {
    let create = ["create", "namespace", name, "--dry-run=client", "-o", "yaml"];
    let manifest = lab.kubectl(&create).good();
    lab.kubectl_with(&["apply", "-f", "-"], &manifest).good();
}

#[test]
fn the_token_may_do_what_the_document_says_in_each_mode() {
    let lab = lab();
    for name in [NAMESPACE, "shop", "certificates", "strangers"] {
        namespace(&lab, name);
    }
    let (objects, cluster, own) = (documented(0), documented(1), documented(2));
    let both: BTreeSet<Right> = objects.union(&cluster).cloned().collect();
    let secrets = ("secrets".to_owned(), "[]".to_owned(), "[get list watch]".to_owned());
    assert!(objects.contains(&secrets));
    let without_secrets = |rights: &BTreeSet<Right>| -> BTreeSet<Right> {
        rights.iter().filter(|right| **right != secrets).cloned().collect()
    };

    apply(&lab, &[]);
    assert_eq!(granted(&lab, "shop"), both);
    assert_eq!(granted(&lab, NAMESPACE), both.union(&own).cloned().collect());
    remove(&lab);

    let by_name = "rbac.secrets.names.certificates={shop-tls}";
    apply(&lab, &["rbac.secrets.access=names", by_name]);
    assert_eq!(granted(&lab, "shop"), without_secrets(&both));
    let mut by_name = without_secrets(&both);
    by_name.insert(("secrets".to_owned(), "[shop-tls]".to_owned(), "[get watch]".to_owned()));
    assert_eq!(granted(&lab, "certificates"), by_name);
    remove(&lab);

    apply(&lab, &["rbac.scope=namespaces", "rbac.namespaces={shop}"]);
    assert_eq!(granted(&lab, "strangers"), cluster);
    assert_eq!(granted(&lab, "shop"), both);
    remove(&lab);
}
