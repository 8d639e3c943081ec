{{- define "observer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "observer.fullname" -}}
{{- $name := include "observer.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "observer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "observer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "observer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "observer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "observer.labels" -}}
{{ include "observer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "observer.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the node's cgroup hierarchy is mounted in the container. */}}
{{- define "observer.cgroupRoot" -}}
/host/sys/fs/cgroup
{{- end -}}

{{/* The file of `observer run --config`. */}}
{{- define "observer.config" -}}
{{- $own := dict
  "cgroup_root" (include "observer.cgroupRoot" .)
  "listen" (printf "%s:%d" .Values.metrics.address (int .Values.metrics.port))
-}}
{{- $sources := list -}}
{{- range list "serviceGraph" "networkPolicy" "cilium" "istio" "linkerd" -}}
{{- if index $.Values.rbac.graph . -}}
{{- $sources = append $sources (lower .) -}}
{{- end -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- if and (lt (len $sources) 5) (not (hasKey $config "graph_sources")) -}}
{{- $_ := set $config "graph_sources" $sources -}}
{{- end -}}
{{- mergeOverwrite $config $own | toYaml -}}
{{- end -}}

{{/* What a PodMonitor and a ServiceMonitor have in common; the context is one of their values. */}}
{{- define "observer.endpoint" -}}
port: metrics
interval: {{ .interval }}
relabelings:
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
