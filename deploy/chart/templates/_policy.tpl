{{/* What both policies look at: Ingresses of our classes that are new or changed. Objects that were
there before stay editable by those who change something else, such as a finalizer. */}}
{{- define "genkan.policy.match" -}}
# Advice at the door: the program checks again, and closes what it cannot enforce.
failurePolicy: Ignore
matchConstraints:
  resourceRules:
  - apiGroups: [networking.k8s.io]
    apiVersions: [v1]
    resources: [ingresses]
    operations: [CREATE, UPDATE]
matchConditions:
- name: our-class
  expression: >-
    (has(object.metadata.annotations) && "kubernetes.io/ingress.class" in object.metadata.annotations
    ? object.metadata.annotations["kubernetes.io/ingress.class"]
    : has(object.spec.ingressClassName) ? object.spec.ingressClassName : "")
    in {{ concat (list .Values.ingressClass.name) .Values.validation.classes | uniq | toJson }}
- name: changed
  expression: >-
    oldObject == null || object.spec != oldObject.spec
    || (has(object.metadata.annotations) ? object.metadata.annotations : {})
    != (has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})
variables:
- name: annotations
  expression: >-
    has(object.metadata.annotations) ? object.metadata.annotations : {}
# The nginx prefix is read under compat: nginx.
- name: prefixes
  expression: >-
    {{ eq (.Values.config.compat | default "none") "nginx" | ternary (list "genkan.io/" "nginx.ingress.kubernetes.io/") (list "genkan.io/") | toJson }}
- name: ignore
  expression: >-
    {{ dig "annotations" "ignore" list .Values.config | toJson }}
# Full names of the annotations that are read.
- name: ours
  expression: >-
    variables.annotations.filter(key, variables.prefixes.exists(prefix, key.startsWith(prefix)
    && !(key.substring(prefix.size()) in variables.ignore)))
{{- end -}}

{{- define "genkan.policy.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "genkan.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [{{ .action }}]
{{- end -}}

{{/* A list of keys by their names without prefix, that are not given with one of these values. */}}
{{- define "genkan.policy.unsupported" -}}
variables.ours.filter(key, key.substring(key.indexOf("/") + 1) in {{ toJson .keys }}
    {{- with .but }} && !(variables.annotations[key].trim() in {{ toJson . }}){{ end }})
{{- end -}}
