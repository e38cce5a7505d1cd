package doctor

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

// The bounds of what a bundle takes along.
const (
	mostObjects = 2000    // of one kind and namespace
	mostText    = 4 << 20 // of one log, or of a replica's metrics
	mostLines   = 20_000  // of one log
	podTimeout  = 20 * time.Second
)

// file of a bundle, before its secrets are out: a document that redactor.object
// returned if its name ends with .json or .yaml, else a text.
type file struct {
	name     string
	document any
	text     string
}

// Bundle writes what support needs as a tar.gz. What can't be read is in errors.txt.
func (p *Patient) Bundle(ctx context.Context, w io.Writer, report Report) error {
	secrets, lacks := p.secrets()
	r := newRedactor(secrets...)
	cfg := r.object(p.Config)
	r.says(cfg)
	files := []file{{name: "doctor.json", document: r.object(report)}, {name: "onejob.yaml", document: cfg}}
	fail := func(what string, err error) {
		if err != nil {
			lacks = append(lacks, what+": "+contract.Sentence(err.Error()))
		}
	}
	if fail("cluster", p.connect()); p.kube != nil {
		for _, namespace := range p.namespaces() {
			files = append(files, p.objects(ctx, namespace, r, fail)...)
		}
		files = append(files, p.logs(ctx, r, fail)...)
	}
	files = append(files, file{name: "errors.txt", text: strings.Join(append(lacks, ""), "\n")})
	return pack(w, files, r)
}

// secrets are those that we have ourselves.
func (p *Patient) secrets() (all, lacks []string) {
	for _, q := range p.Config.Queues {
		source, err := p.Token(q)
		if err != nil || source == nil {
			continue
		}
		token, err := source.Token()
		if err != nil {
			lacks = append(lacks, "token of queue "+q.Name+": "+contract.Sentence(err.Error()))
			continue
		}
		all = append(all, token)
	}
	if p.REST != nil {
		all = append(all, p.REST.BearerToken, p.REST.Password, string(p.REST.KeyData))
	}
	return all, lacks
}

// objects are the Jobs, the pods' statuses and the Events of a namespace.
func (p *Patient) objects(ctx context.Context, namespace string, r *redactor, fail func(string, error)) (files []file) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	dir := "namespaces/" + namespace + "/"
	add := func(what string, objects any, more string) {
		if more != "" {
			fail(dir+what, fmt.Errorf("there are more than the first %d, which are here", mostObjects))
		}
		files = append(files, file{name: dir + what + ".json", document: r.object(objects)})
	}
	ours := metav1.ListOptions{LabelSelector: contract.LabelQueue, Limit: mostObjects}
	jobs, err := p.kube.BatchV1().Jobs(namespace).List(ctx, ours)
	if fail(dir+"jobs", err); err == nil {
		add("jobs", jobs.Items, jobs.Continue)
	}
	pods, err := p.kube.CoreV1().Pods(namespace).List(ctx, ours)
	if fail(dir+"pods", err); err == nil {
		for i := range pods.Items {
			pods.Items[i].Spec = corev1.PodSpec{NodeName: pods.Items[i].Spec.NodeName}
		}
		add("pods", pods.Items, pods.Continue)
	}
	events, more, err := p.events(ctx, namespace)
	if fail(dir+"events", err); len(events) > 0 || err == nil {
		add("events", events, more)
	}
	return files
}

// events are those about what is onejob's, and those that were found before an error.
// Others in the namespace may be many more.
func (p *Patient) events(ctx context.Context, namespace string) (kept []corev1.Event, more string, err error) {
	for {
		page, err := p.kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{Limit: mostObjects, Continue: more})
		if err != nil {
			return kept, "", err
		}
		for _, e := range page.Items {
			if strings.HasPrefix(e.InvolvedObject.Name, "onejob") {
				kept = append(kept, e)
			}
		}
		if more = page.Continue; more == "" || len(kept) >= mostObjects {
			return kept, more, nil
		}
	}
}

// logs are the logs and the metrics of the scheduler's pods.
func (p *Patient) logs(ctx context.Context, r *redactor, fail func(string, error)) (files []file) {
	pods := p.kube.CoreV1().Pods(p.Namespace)
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: schedulers, Limit: 10})
	if fail("scheduler", err); err != nil {
		return nil
	}
	for _, pod := range list.Items {
		ctx, cancel := context.WithTimeout(ctx, podTimeout)
		dir := "scheduler/" + pod.Name
		files = append(files, file{name: dir + ".json", document: r.object(pod.Status)})
		for _, previous := range []bool{false, true} {
			if previous && !restarted(pod) {
				continue
			}
			b, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{
				Container: "onejob", Previous: previous, Timestamps: true, TailLines: ptr.To[int64](mostLines), LimitBytes: ptr.To[int64](mostText),
			}).DoRaw(ctx)
			name := dir + map[bool]string{false: ".log", true: ".previous.log"}[previous]
			if fail(name, err); err == nil {
				files = append(files, file{name: name, text: string(b)})
			}
		}
		metrics, err := pods.ProxyGet("http", pod.Name, "8080", "metrics", nil).Stream(ctx)
		if fail(dir+".metrics", err); err == nil {
			b, err := io.ReadAll(io.LimitReader(metrics, mostText))
			fail(dir+".metrics", err)
			_ = metrics.Close() //nolint:errcheck // only read
			files = append(files, file{name: dir + ".metrics", text: string(b)})
		}
		cancel()
	}
	return files
}

func restarted(p corev1.Pod) bool {
	for _, c := range p.Status.ContainerStatuses {
		if c.RestartCount > 0 {
			return true
		}
	}
	return false
}

// cleaned is the file's text without secrets.
func (f file) cleaned(r *redactor) (string, error) {
	isYAML := strings.HasSuffix(f.name, ".yaml")
	if !isYAML && !strings.HasSuffix(f.name, ".json") {
		return r.text(f.text), nil
	}
	b, err := json.MarshalIndent(r.clean(f.document), "", " ")
	if err == nil && isYAML {
		b, err = yaml.JSONToYAML(b)
	}
	return string(b), err
}

// pack writes the files, each without its secrets: by now all are known.
func pack(w io.Writer, files []file, r *redactor) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	for _, f := range files {
		text, err := f.cleaned(r)
		if err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "onejob-bundle/" + f.name, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now()}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
		if _, err := io.WriteString(archive, text); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return zipped.Close()
}
