{{- define "genkan.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "genkan.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "genkan.fullname" .) -}}
{{- end -}}

{{- define "genkan.priorityClass" -}}
{{- .Values.priorityClass.name | default (include "genkan.fullname" . | printf "%s-edge") -}}
{{- end -}}

{{- define "genkan.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* What selects the pods: never changes. */}}
{{- define "genkan.selector" -}}
app.kubernetes.io/name: genkan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "genkan.labels" -}}
{{ include "genkan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "genkan.metadata" -}}
name: {{ include "genkan.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "genkan.labels" . | nindent 2 }}
{{- end -}}
