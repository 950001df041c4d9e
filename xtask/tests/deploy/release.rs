//! Helm installs, changes and removes the release; every form of it is taken by the API server.

use super::lab::{NAMESPACE, lab, wait_for};

/// Values that reach each branch of the templates.
const FORMS: [&[&str]; 5] = [
    &[],
    &[
        "validation.enabled=false",
        "priorityClass.create=false",
        "priorityClass.name=system-node-critical",
    ],
    &[
        "ingressClass.default=true",
        "config.compat=nginx",
        "config.annotations.ignore={auth-url}",
        "caBundle.configMap=roots",
        "kubernetes.host=192.0.2.1",
    ],
    &[
        "rbac.scope=namespaces",
        "rbac.namespaces={default}",
        "rbac.secrets.access=namespaces",
        "rbac.secrets.namespaces={default}",
        "updateStrategy.type=OnDelete",
        "agent.seccompProfile=Unconfined",
        "podAnnotations.a=b",
        "image.pullSecrets[0].name=x",
    ],
    &[
        "ingressClass.create=false",
        "config.workers.count=2",
        "config.access_log=off",
        "config.timeouts.drain=5m",
        "updateStrategy.maxUnavailable=25%",
    ],
];

#[test]
fn every_form_of_the_chart_is_taken_by_the_api_server() {
    let lab = lab();
    lab.kubectl(&["create", "namespace", "forms"]).good();
    for settings in FORMS {
        let mut arguments = vec!["template", "forms", "deploy/chart"];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        let manifests = lab
            .helm(&arguments)
            .good()
            .replace(&format!("namespace: {NAMESPACE}"), "namespace: forms");
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = lab.kubectl_with(&apply, &manifests);
        assert!(said.success, "{settings:?}\n{}", said.err);
        assert!(!said.err.contains("would violate PodSecurity"), "{}", said.err);
    }
    for bad in [
        "agent.privileged=true",
        "config.vips=x",
        "config.vips[0].name=without-address",
        "config.timeouts.drian=5s",
        "rbac.scope=namespaces",
        "image.pullPolicy=Sometimes",
    ] {
        assert!(!lab.helm(&["template", "forms", "deploy/chart", "--set", bad]).success, "{bad}");
    }
    lab.kubectl(&["delete", "namespace", "forms", "--wait=false"]).good();
}

#[test]
fn helm_installs_upgrades_and_removes_the_release() {
    let lab = lab();
    // On no node, because the test is about objects.
    let nowhere = ["--set-string", "nodeSelector.nowhere=true"];
    let install = ["install", "genkan", "deploy/chart", "--create-namespace"];
    lab.helm(&[&install[..], &nowhere].concat()).good();
    let ours = |kinds: &str| -> Vec<String> {
        let get = [
            "get",
            kinds,
            "--all-namespaces",
            "-o",
            "name",
            "--selector",
            "app.kubernetes.io/instance=genkan",
        ];
        lab.kubectl(&get).good().lines().map(str::to_owned).collect()
    };
    let kinds = "daemonsets,serviceaccounts,configmaps,services,roles,rolebindings,clusterroles,\
                 clusterrolebindings,ingressclasses,priorityclasses,\
                 validatingadmissionpolicies,validatingadmissionpolicybindings";
    let manifest = lab.helm(&["get", "manifest", "genkan"]).good();
    let count = manifest.lines().filter(|line| line.starts_with("kind: ")).count();
    assert_eq!(ours(kinds).len(), count, "{:?}", ours(kinds));

    let upgrade = ["upgrade", "genkan", "deploy/chart", "--set", "config.compat=nginx"];
    lab.helm(&[&upgrade[..], &nowhere].concat()).good();
    let get = ["--namespace", NAMESPACE, "get", "configmap", "genkan", "-o", "yaml"];
    assert!(lab.kubectl(&get).good().contains("compat: nginx"));

    lab.helm(&["uninstall", "genkan"]).good();
    wait_for("objects of the release are left", || ours(kinds).is_empty().then_some(()));
}
