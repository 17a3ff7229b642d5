{{- define "millpond.name" -}}
{{- if contains "millpond" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-millpond" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "millpond.selector" -}}
app.kubernetes.io/name: millpond
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "millpond.labels" -}}
{{ include "millpond.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "millpond.config" -}}
listen = "0.0.0.0:8080"
admin_listen = "0.0.0.0:9090"
{{- if .Values.clientKeysSecret }}
keys_file = "/etc/millpond-keys/keys.toml"
{{- else }}
allow_anonymous = true
{{- end }}
drain = "{{ int .Values.drainSeconds }}s"
{{ .Values.config }}
{{- end }}
