{{- define "packet-headers.selector" -}}
app.kubernetes.io/name: packet-headers
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "packet-headers.labels" -}}
{{ include "packet-headers.selector" . }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "packet-headers.args" -}}
- --datadir={{ .Values.data.hostPath }}/pcap
- --prometheusx.listen-address=:{{ .Values.port }}
{{- if .Values.tcpInfo.enabled }}
- --tcpinfo.eventsocket=/run/tcpinfo/events.sock
{{- end }}
{{- if not .Values.ebpf }}
- --attach=raw
{{- end }}
{{- range $name, $value := .Values.flags }}
{{- range ternary $value (list $value) (kindIs "slice" $value) }}
- {{ printf "--%s=%s" $name (toString .) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "packet-headers.annotations" -}}
{{- if .Values.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .Values.port | quote }}
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The kernel flow source attaches to the node's root cgroup; tcp-info alone needs none. */}}
{{- define "packet-headers.cgroup" -}}
{{- $source := get .Values.flags "flow-source" | default "auto" }}
{{- if or (not .Values.tcpInfo.enabled) (has $source (list "kernel" "hybrid")) }}yes{{ end }}
{{- end }}
