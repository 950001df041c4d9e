{{- define "genkan.log" -}}
- {name: GENKAN_LOG, value: {{ .Values.logging.filter | quote }}}
- {name: GENKAN_LOG_FORMAT, value: {{ .Values.logging.format | quote }}}
{{- end -}}

{{/* Two pods share the host's network, so no port is possible: each container is asked by its own
socket (GENKAN_ADMIN__SOCKET). The timeout is longer than the ten seconds that `genkan probe` waits,
so that its reason is seen. */}}
{{- define "genkan.live" -}}
livenessProbe:
  exec: {command: [genkan, probe, live]}
  periodSeconds: 10
  timeoutSeconds: 12
  failureThreshold: 3
{{- end -}}
