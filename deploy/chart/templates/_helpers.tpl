{{- define "onejob.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-onejob" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "onejob.selector" -}}
app.kubernetes.io/name: onejob
app.kubernetes.io/component: scheduler
{{- end -}}

{{- /* The metadata of every object: a list of the root, the name, the namespace ("" for
       none), and, where there are some, labels and annotations. */ -}}
{{- define "onejob.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict "app.kubernetes.io/name" "onejob" "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/managed-by" $root.Release.Service "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_")) -}}
{{- $annotations := dict -}}
{{- if gt (len .) 3 -}}{{- $labels = merge $labels (index . 3) -}}{{- end -}}
{{- if gt (len .) 4 -}}{{- $annotations = index . 4 -}}{{- end -}}
name: {{ index . 1 }}
{{- with index . 2 }}
namespace: {{ . }}
{{- end }}
labels:
  {{- toYaml (merge $labels $root.Values.commonLabels) | nindent 2 }}
{{- with merge (deepCopy $annotations) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "onejob.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "onejob.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: with create: false, name the account that the scheduler has" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The queues' names; nothing. */ -}}
{{- define "onejob.queuesNamed" -}}
{{- $hint := "give the key of a self-hosted queue of the token's cluster, as Buildkite shows it under Agents, Queues (many organizations have none called default). Install with --set 'config.queues[0].name=KEY'" -}}
{{- if not .Values.config.queues -}}{{- fail (printf "config.queues: none given, and none is assumed: %s" $hint) -}}{{- end -}}
{{- range $i, $queue := .Values.config.queues -}}
{{- if not $queue.name -}}{{- fail (printf "config.queues[%d].name: not set, and none is assumed: %s" $i $hint) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "onejob.registry" -}}
{{- required "image.registry: not set, and none is assumed: onejob's images have to be built and pushed by you, as deploy/README.md (Images) says. Install with --set image.registry=REGISTRY" .Values.image.registry -}}
{{- end -}}

{{- define "onejob.tag" -}}
{{- default .Chart.AppVersion .Values.image.tag -}}
{{- end -}}

{{- define "onejob.image" -}}
{{- include "onejob.registry" . }}/{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ include "onejob.tag" . }}{{ end -}}
{{- end -}}

{{- define "onejob.agentImage" -}}
{{- default (include "onejob.registry" .) .Values.agentImage.registry }}/{{ .Values.agentImage.repository }}
{{- if .Values.agentImage.digest }}@{{ .Values.agentImage.digest }}{{ else }}:{{ default (include "onejob.tag" .) .Values.agentImage.tag }}{{ end -}}
{{- end -}}

{{- /* The namespaces of the queues, as JSON in {"list": […]}. */ -}}
{{- define "onejob.namespaces" -}}
{{- $list := list -}}
{{- range .Values.config.queues -}}
{{- $list = append $list (default $.Release.Namespace .namespace) -}}
{{- end -}}
{{- dict "list" ($list | uniq | sortAlpha) | toJson -}}
{{- end -}}

{{- /* Those with a queue whose git mirrors are made of snapshots. */ -}}
{{- define "onejob.snapshotNamespaces" -}}
{{- $list := list -}}
{{- range .Values.config.queues -}}
{{- if dig "git-mirrors" "snapshot" false . -}}{{- $list = append $list (default $.Release.Namespace .namespace) -}}{{- end -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- /* Those and the scheduler's. */ -}}
{{- define "onejob.allNamespaces" -}}
{{- dict "list" (append (include "onejob.namespaces" . | fromJson).list .Release.Namespace | uniq | sortAlpha) | toJson -}}
{{- end -}}

{{- /* The Secret of the token that queues share. */ -}}
{{- define "onejob.tokenSecret" -}}
{{- default (printf "%s-agent-token" (include "onejob.fullname" .)) .Values.token.existingSecret -}}
{{- end -}}

{{- /* Every Secret with a token, as JSON in {"list": [{queue, secret, key, value, dir, volume}]}: the
       shared one first, with the queue "". */ -}}
{{- define "onejob.tokens" -}}
{{- $list := list -}}
{{- if and .Values.token.value .Values.token.existingSecret -}}
{{- fail "token: value and existingSecret are both set: give one of them" -}}
{{- end -}}
{{- $shared := false -}}
{{- range .Values.config.queues -}}
{{- if not (hasKey $.Values.token.queues .name) -}}{{- $shared = true -}}{{- end -}}
{{- end -}}
{{- if $shared -}}
{{- $list = append $list (dict "queue" "" "secret" (include "onejob.tokenSecret" .) "key" .Values.token.key "value" .Values.token.value "dir" "/var/run/onejob/token" "volume" "token") -}}
{{- end -}}
{{- range $i, $queue := keys .Values.token.queues | sortAlpha -}}
{{- $t := index $.Values.token.queues $queue -}}
{{- $known := false -}}
{{- range $.Values.config.queues -}}{{- if eq .name $queue -}}{{- $known = true -}}{{- end -}}{{- end -}}
{{- if not $known -}}
{{- fail (printf "token.queues.%s: config.queues has no queue of this name" $queue) -}}
{{- end -}}
{{- if eq (empty $t.value) (empty $t.existingSecret) -}}
{{- fail (printf "token.queues.%s: give either value or existingSecret" $queue) -}}
{{- end -}}
{{- $made := printf "%s-agent-token-%s" (include "onejob.fullname" $) (regexReplaceAll "[^a-z0-9]+" (lower $queue) "-" | trimAll "-") -}}
{{- $list = append $list (dict "queue" $queue "secret" (default $made $t.existingSecret) "key" (default "token" $t.key) "value" (default "" $t.value) "dir" (printf "/var/run/onejob/tokens/%d" $i) "volume" (printf "token-%d" $i)) -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- /* The ConfigMap of a private CA; empty for none. */ -}}
{{- define "onejob.caConfigMap" -}}
{{- if and .Values.caBundle.value .Values.caBundle.existingConfigMap -}}
{{- fail "caBundle: value and existingConfigMap are both set: give one of them" -}}
{{- end -}}
{{- if .Values.caBundle.existingConfigMap -}}
{{- .Values.caBundle.existingConfigMap -}}
{{- else if .Values.caBundle.value -}}
{{- printf "%s-ca" (include "onejob.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- /* Variables of the proxy and the CA, as JSON in {"list": […]}: a list of the root and of
       hosts that have no proxy besides. Programs of jobs read either case. */ -}}
{{- define "onejob.networkEnv" -}}
{{- $root := index . 0 -}}
{{- $list := list -}}
{{- $v := $root.Values -}}
{{- if or $v.proxy.http $v.proxy.https -}}
{{- $no := concat (index . 1) (list "localhost" "127.0.0.1" ".svc" ".cluster.local") $v.proxy.noProxy | uniq | join "," -}}
{{- range $name, $value := dict "HTTP_PROXY" $v.proxy.http "HTTPS_PROXY" $v.proxy.https "NO_PROXY" $no -}}
{{- if $value -}}
{{- $list = concat $list (list (dict "name" $name "value" $value) (dict "name" (lower $name) "value" $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if include "onejob.caConfigMap" $root -}}
{{- $file := printf "/etc/onejob-ca/%s" $v.caBundle.key -}}
{{- if $v.caBundle.complete -}}
{{- range list "SSL_CERT_FILE" "GIT_SSL_CAINFO" "CURL_CA_BUNDLE" "REQUESTS_CA_BUNDLE" -}}
{{- $list = append $list (dict "name" . "value" $file) -}}
{{- end -}}
{{- else -}}
{{- $list = append $list (dict "name" "SSL_CERT_DIR" "value" "/etc/ssl/certs:/etc/onejob-ca") -}}
{{- end -}}
{{- $list = append $list (dict "name" "NODE_EXTRA_CA_CERTS" "value" $file) -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- /* What the pods of all queues have of these values, as the JSON of a pod's spec. */ -}}
{{- define "onejob.podDefaults" -}}
{{- $agent := dict -}}
{{- $pod := dict -}}
{{- $image := include "onejob.agentImage" . -}}
{{- /* The scheduler's own default needs no words. */ -}}
{{- if not (and (eq (include "onejob.image" .) (printf "ghcr.io/onejob-dev/onejob:%s" (include "onejob.tag" .))) (eq $image (printf "ghcr.io/onejob-dev/onejob-agent:%s" (include "onejob.tag" .)))) -}}
{{- $_ := set $agent "image" $image -}}
{{- end -}}
{{- with .Values.agentImage.pullPolicy -}}{{- $_ := set $agent "imagePullPolicy" . -}}{{- end -}}
{{- with (include "onejob.networkEnv" (list $ list) | fromJson).list -}}{{- $_ := set $agent "env" . -}}{{- end -}}
{{- with include "onejob.caConfigMap" . -}}
{{- $_ := set $agent "volumeMounts" (list (dict "name" "onejob-ca" "mountPath" "/etc/onejob-ca" "readOnly" true)) -}}
{{- $_ := set $pod "volumes" (list (dict "name" "onejob-ca" "configMap" (dict "name" .))) -}}
{{- end -}}
{{- with .Values.imagePullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- if $agent -}}{{- $_ := set $pod "containers" (list (set $agent "name" "agent")) -}}{{- end -}}
{{- toJson $pod -}}
{{- end -}}

{{- /* The dictionary under a key of another one, which is made if it isn't there: a list of
       the dictionary and the key. For what it does. */ -}}
{{- define "onejob.ensure" -}}
{{- if not (index (index . 0) (index . 1)) -}}{{- $_ := set (index . 0) (index . 1) dict -}}{{- end -}}
{{- end -}}

{{- /* Lists of things with names, as JSON in {"list": […]}: the first one's, and the second
       one's in their place: a list of both, or of null. */ -}}
{{- define "onejob.byName" -}}
{{- $given := default list (index . 1) -}}
{{- $names := list -}}
{{- range $given -}}{{- $names = append $names .name -}}{{- end -}}
{{- $out := list -}}
{{- range default list (index . 0) -}}{{- if not (has .name $names) -}}{{- $out = append $out . -}}{{- end -}}{{- end -}}
{{- dict "list" (concat $out $given) | toJson -}}
{{- end -}}

{{- /* template-defaults, as JSON: what the configuration has, over the above. */ -}}
{{- define "onejob.templateDefaults" -}}
{{- $ours := include "onejob.podDefaults" . | fromJson -}}
{{- $given := deepCopy (default dict (index .Values.config "template-defaults")) -}}
{{- if $ours -}}
{{- $holder := $given -}}
{{- if eq (default "" $given.kind) "Job" -}}
{{- include "onejob.ensure" (list $given "spec") -}}
{{- include "onejob.ensure" (list $given.spec "template") -}}
{{- $holder = $given.spec.template -}}
{{- else if eq (default "" $given.kind) "PodTemplate" -}}
{{- include "onejob.ensure" (list $given "template") -}}
{{- $holder = $given.template -}}
{{- end -}}
{{- include "onejob.ensure" (list $holder "spec") -}}
{{- $pod := $holder.spec -}}
{{- range $key := list "volumes" "imagePullSecrets" -}}
{{- with (include "onejob.byName" (list (index $ours $key) (index $pod $key)) | fromJson).list -}}{{- $_ := set $pod $key . -}}{{- end -}}
{{- end -}}
{{- range $mine := $ours.containers -}}
{{- $all := list -}}
{{- $agent := dict "name" "agent" -}}
{{- range default list $pod.containers -}}{{- if eq .name "agent" -}}{{- $agent = . -}}{{- else -}}{{- $all = append $all . -}}{{- end -}}{{- end -}}
{{- range $key := list "env" "volumeMounts" -}}
{{- with (include "onejob.byName" (list (index $mine $key) (index $agent $key)) | fromJson).list -}}{{- $_ := set $agent $key . -}}{{- end -}}
{{- end -}}
{{- $_ := set $pod "containers" (prepend $all (merge $agent $mine)) -}}
{{- end -}}
{{- end -}}
{{- toJson $given -}}
{{- end -}}

{{- /* onejob.yaml: the values' config, completed with what the chart decides. */ -}}
{{- define "onejob.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- with include "onejob.templateDefaults" . | fromJson -}}{{- $_ := set $config "template-defaults" . -}}{{- end -}}
{{- $tokens := dict -}}
{{- range (include "onejob.tokens" . | fromJson).list -}}{{- $_ := set $tokens (default "-" .queue) . -}}{{- end -}}
{{- range $queue := $config.queues -}}
{{- $t := index $tokens (ternary $queue.name "-" (hasKey $tokens $queue.name)) -}}
{{- if and $t.queue (not (hasKey $queue "token-file")) -}}
{{- $_ := set $queue "token-file" (printf "%s/token" $t.dir) -}}
{{- end -}}
{{- if and (not (hasKey $queue "token-secret")) (or (ne $t.secret "onejob-agent-token") (ne $t.key "token")) -}}
{{- $_ := set $queue "token-secret" (dict "name" $t.secret "key" $t.key) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* The TCP ports of URLs, beside 443 and 6443, as JSON in {"list": […]}. */ -}}
{{- define "onejob.ports" -}}
{{- $list := list -}}
{{- range . -}}
{{- if . -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- if not $port -}}{{- $port = ternary "443" "80" (eq $url.scheme "https") -}}{{- end -}}
{{- if not (has $port (list "443" "6443")) -}}{{- $list = append $list (int $port) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "list" (uniq $list) | toJson -}}
{{- end -}}

{{- /* Where the scheduler, its deregistration and its test read onejob.yaml and the tokens. */ -}}
{{- define "onejob.mounts" -}}
- {name: config, mountPath: /etc/onejob, readOnly: true}
{{- range (include "onejob.tokens" . | fromJson).list }}
- {name: {{ .volume }}, mountPath: {{ .dir }}, readOnly: true}
{{- end }}
{{- if include "onejob.caConfigMap" . }}
- {name: onejob-ca, mountPath: /etc/onejob-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "onejob.volumes" -}}
- name: config
  configMap: {name: {{ include "onejob.fullname" . }}}
{{- range (include "onejob.tokens" . | fromJson).list }}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
    - {key: {{ .key }}, path: token}
{{- end }}
{{- with include "onejob.caConfigMap" . }}
- name: onejob-ca
  configMap: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- /* Variables of the proxy and the CA for the scheduler's image. */ -}}
{{- define "onejob.ownEnv" -}}
{{- with (include "onejob.networkEnv" (list . (list "$(KUBERNETES_SERVICE_HOST)")) | fromJson).list -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- /* What `onejob lint --ask-cluster` needs. */ -}}
{{- define "onejob.lintRules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
- apiGroups: [""]
  resources: [podtemplates, configmaps, persistentvolumeclaims]
  verbs: [get]
{{- end -}}

{{- /* Where the pods beside the scheduler's run, and as whom. */ -}}
{{- define "onejob.place" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "hostAliases" "dnsConfig" }}
{{- with index $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- /* The container of such a pod: a list of the root and the arguments. */ -}}
{{- define "onejob.command" -}}
{{- $root := index . 0 -}}
image: {{ include "onejob.image" $root }}
{{- with $root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
args: {{ index . 1 | toJson }}
{{- $env := include "onejob.ownEnv" $root }}
{{- if or $env $root.Values.extraEnv }}
env:
{{- with $env }}
{{ . }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml $root.Values.resources | nindent 2 }}
volumeMounts:
{{ include "onejob.mounts" $root }}
{{- end -}}

{{- /* What the scheduler and the pods beside it call. */ -}}
{{- define "onejob.egress" -}}
- ports:
  - {port: 443, protocol: TCP}
  - {port: 6443, protocol: TCP}
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
  {{- range (include "onejob.ports" (list .Values.config.endpoint .Values.proxy.http .Values.proxy.https) | fromJson).list }}
  - {port: {{ int . }}, protocol: TCP}
  {{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The policy of such a pod: a list of the root, its name, component and annotations. */ -}}
{{- define "onejob.besidePolicy" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.networkPolicy.enabled }}
---
# It calls what the scheduler calls, and nobody calls it.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "onejob.metadata" (list $root (index . 1) $root.Release.Namespace dict (index . 3)) | nindent 2 }}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: onejob, app.kubernetes.io/component: {{ index . 2 }}}
  policyTypes: [Ingress, Egress]
  egress:
  {{- include "onejob.egress" $root | nindent 2 }}
{{- end }}
{{- end -}}
