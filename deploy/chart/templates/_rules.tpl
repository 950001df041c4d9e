{{/* What Ingresses are made of, in the namespaces that are served. */}}
{{- define "genkan.rules.objects" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# One by one: those that an Ingress refers to.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [genkan.io]
  resources: [ingressreports]
  verbs: [create, delete, list, patch]
{{- end -}}

{{/* In the namespace of the release: who writes, and what each node serves. RBAC cannot bind a
creation to a name, and the Leases of nodes are named after the nodes. */}}
{{- define "genkan.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, delete, get, list, patch, update]
{{- end -}}

{{/* By name too; with the names that the operator allows, or with any. Of more Secrets than
cluster.named_watches those of a namespace share one watch, which begins with a list. */}}
{{- define "genkan.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- if .names }}
  resourceNames: {{ toJson .names }}
  verbs: [get, watch]
  {{- else }}
  verbs: [get, list, watch]
  {{- end }}
{{- end -}}

{{- define "genkan.subject" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "genkan.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* A Role and its binding: root, name, namespace, rules. */}}
{{- define "genkan.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "genkan.labels" .root | nindent 4 }}
rules:
{{ .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "genkan.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
{{ include "genkan.subject" .root }}
{{- end -}}

{{/* As genkan.role, for the whole cluster: root, name, rules. */}}
{{- define "genkan.clusterRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels:
    {{- include "genkan.labels" .root | nindent 4 }}
rules:
{{ .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "genkan.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .name }}}
{{ include "genkan.subject" .root }}
{{- end -}}

{{/* Objects that are in no namespace, and none of them secret. */}}
{{- define "genkan.rules.cluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
{{- end -}}
