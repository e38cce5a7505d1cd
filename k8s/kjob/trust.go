package kjob

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// A pull request can change a pipeline, and with it the variables that fill template
// variables. The agent container has the agent token. A template variable may therefore
// stand only where it can't change which programs run there, what they read, or whose
// Secrets they get:
//
//	always                   where the pod may run; annotations and variables that only people and the job read
//	with trusted-pipelines   images, commands, mounts, files, names of Secrets and accounts
//	never                    all else

// harmless are the beginnings of the kinds of places where a template variable can't reach
// the token.
var harmless = []string{
	"metadata.annotations.", "spec.template.metadata.annotations.", "spec.template.spec.nodeSelector.", "spec.template.spec.affinity.",
	"spec.template.spec.tolerations[*].", "spec.template.spec.topologySpreadConstraints[*].", "spec.template.spec.schedulerName", "spec.template.spec.priorityClassName",
}

// forTrusted matches the kinds of places where a template variable can be used to take the
// token. They are allowed with trusted-pipelines only.
var forTrusted = regexp.MustCompile(`^spec\.template\.spec\.(` +
	`(initContainers|containers)\[\*\]\.(image|command\[\*\]|args\[\*\]|workingDir|env\[\*\]\.(value|valueFrom\.(secretKeyRef|configMapKeyRef)\.(name|key))|` +
	`envFrom\[\*\]\.(secretRef|configMapRef)\.name|volumeMounts\[\*\]\.(mountPath|subPath|subPathExpr))|` +
	`serviceAccountName|volumes\[\*\]\.(downwardAPI|projected\.sources\[\*\]\.downwardAPI)\.items\[\*\]|volumes\[\*\]\.(secret\.secretName|configMap\.name|persistentVolumeClaim\.claimName))$`)

// judgedElsewhere are the beginnings of the kinds of places that containerVariables (the
// containers) and checkLabels (the labels) check.
var judgedElsewhere = []string{
	"spec.template.spec.containers[*]", "spec.template.spec.initContainers[*]",
	"metadata.labels.", "spec.template.metadata.labels.",
}

func beginsWith(begins []string, kind string) bool {
	return slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(kind, begin) })
}

// checkVariables refuses each template variable by which a pipeline could take the token.
// doc is the JSON of job. trusted is the queue's trusted-pipelines.
func checkVariables(doc []byte, job *batchv1.Job, trusted bool) error {
	var errs []error
	judge := func(at place, s string, names []string) {
		if hasVariable(templateVariable.ReplaceAllString(s, "")) {
			errs = append(errs, fmt.Errorf("%s: NAME in {{env.NAME}} must be a variable's name: A-Z a-z 0-9 _, and no digit at the start", at.path))
		}
		if len(names) > 0 {
			errs = append(errs, refuseVariable(at, names, trusted))
		}
	}
	changed(doc, func(at place, s string) any {
		if !beginsWith(judgedElsewhere, at.kind) {
			judge(at, s, variableNames(s))
		}
		return s
	})
	pod := &job.Spec.Template
	for _, v := range pod.Spec.Volumes {
		fileVariables(v, pod.Annotations, judge)
	}
	for _, c := range pod.Spec.InitContainers {
		containerVariables(c, "initContainers", pod.Annotations, judge)
	}
	for _, c := range pod.Spec.Containers {
		containerVariables(c, "containers", pod.Annotations, judge)
	}
	return errors.Join(errs...)
}

// containerVariables calls judge for each string of a container, with the pipeline's
// variables in it. It skips the values of variables that only the job reads (see steering),
// because a pipeline may set those anyway.
func containerVariables(c corev1.Container, list string, annotations map[string]string, judge func(place, string, []string)) {
	filled := filledEnv(c, annotations)
	prefix := place{path: "spec.template.spec." + list + "[" + c.Name + "].", kind: "spec.template.spec." + list + "[*]."}
	for _, e := range c.Env {
		if steering().MatchString(e.Name) {
			judge(place{path: prefix.path + "env[" + e.Name + "].value", kind: prefix.kind + "env[*].value"}, e.Value, filled[e.Name])
		}
	}
	doc, _ := json.Marshal(c) // it came from JSON
	changed(doc, func(at place, s string) any {
		if at.kind != "env[*].value" {
			judge(place{prefix.path + at.path, prefix.kind + at.kind, at.key}, s, takenFrom(s, filled))
		}
		return s
	})
}

// fileVariables calls judge for each file of a volume that has a label or an annotation of
// the pod as its content. If a pipeline fills such a file, the file could become a hook.
func fileVariables(v corev1.Volume, annotations map[string]string, judge func(place, string, []string)) {
	files := func(in string, items []corev1.DownwardAPIVolumeFile) {
		for _, item := range items {
			if item.FieldRef != nil {
				at := place{path: "spec.template.spec.volumes[" + v.Name + "]." + in + "downwardAPI.items[" + item.Path + "]", kind: "spec.template.spec.volumes[*]." + in + "downwardAPI.items[*]"}
				judge(at, "", downward(item.FieldRef.FieldPath, annotations))
			}
		}
	}
	if v.DownwardAPI != nil {
		files("", v.DownwardAPI.Items)
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.DownwardAPI != nil {
				files("projected.sources[*].", source.DownwardAPI.Items)
			}
		}
	}
}

func refuseVariable(at place, names []string, trusted bool) error {
	_, annotation, _ := strings.Cut(at.kind, "metadata.annotations.")
	isRestraint := restraints().MatchString(annotation)
	isHarmless := !at.key && !isRestraint && beginsWith(harmless, at.kind)
	byTrust := !at.key && forTrusted.MatchString(at.kind)
	if isHarmless || byTrust && trusted {
		return nil
	}
	because := "because this place isn't one of those that are known to be harmless"
	todo := "write it into the template"
	switch last := at.kind[strings.LastIndex(at.kind, ".")+1:]; {
	case strings.HasSuffix(at.kind, "env[*].value"):
		because = "because the variable changes what the runner reads, loads or talks to"
	case last == "image", last == "command[*]", last == "args[*]", last == "workingDir":
		because = "because they choose the program that is started with it"
	case last == "mountPath", strings.HasPrefix(last, "subPath"):
		because = "because they can put files of their own in the place of the pod's programs"
	case strings.HasSuffix(at.kind, "downwardAPI.items[*]"):
		because = "because a file that a pipeline fills can stand in the place of a hook or a program"
		todo = "give it to the job as a variable (valueFrom)"
	case isRestraint:
		because += ": programs of the cluster act on annotations of that name"
	case byTrust:
		because = "because they choose whose Secrets and settings the pod gets"
	}
	if byTrust {
		todo += ", or set trusted-pipelines: true on the queue if they may have the token"
	}
	return fmt.Errorf("%s: whoever can set %s in a pipeline could take the agent token, %s: %s", at.path, strings.Join(names, " and "), because, todo)
}

// expansion is a $(NAME) that the kubelet expands, in variables, commands and paths.
var expansion = regexp.MustCompile(`\$\(([^()]+)\)`)

// takenFrom are the pipeline's variables in a string of a container: those of template
// variables, and those in the container's own variables (filled) that the string expands.
func takenFrom(s string, filled map[string][]string) []string {
	names := variableNames(s)
	for _, ref := range expansion.FindAllStringSubmatch(s, -1) {
		names = append(names, filled[ref[1]]...)
	}
	return names
}

// filledEnv are the container's variables that a pipeline fills, in whole or in part, each
// with the pipeline's variables or the annotations that fill it.
func filledEnv(c corev1.Container, annotations map[string]string) map[string][]string {
	filled := map[string][]string{}
	for _, e := range c.Env {
		from := takenFrom(e.Value, filled)
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			from = downward(e.ValueFrom.FieldRef.FieldPath, annotations)
		}
		if from != nil {
			filled[e.Name] = from
		}
	}
	return filled
}

// downward are the pipeline's variables, or the annotations, that fill the label or the
// annotation of the pod at fieldPath; nil if a pipeline doesn't fill it.
func downward(fieldPath string, annotations map[string]string) []string {
	for _, key := range []string{contract.AnnotationPipeline, contract.AnnotationBranch, contract.AnnotationStep} {
		if strings.Contains(fieldPath, "['"+key+"']") {
			return []string{key}
		}
	}
	switch fieldPath {
	case "metadata.annotations", "metadata.labels": // all of them, in a file
		return []string{contract.AnnotationPipeline, contract.AnnotationBranch, contract.AnnotationStep}
	}
	if key, ok := strings.CutPrefix(fieldPath, "metadata.annotations['"); ok {
		return variableNames(annotations[strings.TrimSuffix(key, "']")])
	}
	return nil
}
