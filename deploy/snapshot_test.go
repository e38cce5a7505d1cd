package deploy

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/kjob"
)

// snapshotRight is what a queue needs that has git mirrors of snapshots, and no other queue.
var snapshotRight = right{"volumesnapshots.snapshot.storage.k8s.io", "list"}

// The chart's Role has the right to snapshots where a queue asks for it, and nowhere else.
func TestSnapshotRightByNamespace(t *testing.T) {
	for _, set := range append(valueSets, "base") {
		rendered := mustRender(t, set)
		want := map[string]bool{}
		for _, q := range parsed(t, configOf(t, rendered)).Queues {
			want[q.Namespace] = want[q.Namespace] || q.GitMirrors.Snapshot != nil
		}
		if set == "namespaces" != slices.Contains(valuesOf(want), true) {
			t.Errorf("%s: these namespaces have such queues: %v", set, want)
		}
		for _, o := range objectsOf(t, rendered) {
			role, ok := o.(*rbacv1.Role)
			if !ok || role.Name != "onejob" {
				continue
			}
			has := false
			for _, rule := range role.Rules {
				has = has || slices.Contains(rightsOf(rule), snapshotRight)
				if slices.Contains(rule.APIGroups, "snapshot.storage.k8s.io") && !slices.Equal(rule.Verbs, []string{"list"}) {
					t.Errorf("%s: namespace %s: to list is enough: %+v", set, role.Namespace, rule)
				}
			}
			if has != want[role.Namespace] {
				t.Errorf("%s: in namespace %s the scheduler may list snapshots: %t, want %t", set, role.Namespace, has, want[role.Namespace])
			}
		}
	}
}

func valuesOf(m map[string]bool) (out []bool) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// A queue's pods get volumes of the newest snapshot that is ready, on a real API server: as
// its account, with the one right more that the chart gives, and without it.
func TestSnapshotsOfMirrors(t *testing.T) {
	client := withVolumeSnapshots(t)
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprintf("allowed_%t", allowed), func(t *testing.T) {
			s := aSite(t, right{})
			if allowed {
				s.maySnapshots()
			}
			made := client.Namespace(s.namespace)
			s.snapshot(made, "old", "mirrors", "2026-01-01T01:00:00Z", true)
			s.snapshot(made, "newest", "mirrors", "2026-01-01T02:00:00Z", true)
			s.snapshot(made, "not-ready", "mirrors", "2026-01-01T03:00:00Z", false)
			s.snapshot(made, "of-another", "database", "2026-01-01T04:00:00Z", true)
			end := s.run("  git-mirrors: {snapshot: {labels: {app: mirrors}, size: 20Gi}}\n")
			id := s.kjob()
			pod := corev1.PodSpec{}
			for _, k := range s.kjobs() {
				pod = k.Spec.Template.Spec
			}
			i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == kjob.MirrorsVolume })
			if refused := s.audit.refused(snapshotRight); (i >= 0) != allowed || (refused > 0) == allowed || s.audit.requests(snapshotRight) == 0 {
				t.Fatalf("job %s: volume %d of the mirrors, refused %d times", id, i, refused)
			}
			if !allowed {
				end()
				return
			}
			if got := pod.Volumes[i].Ephemeral.VolumeClaimTemplate.Spec.DataSource; got.Name != "newest" || got.Kind != "VolumeSnapshot" {
				t.Errorf("the volume is made of %+v", got)
			}
			// Kubernetes makes of it the claim that a storage driver fills.
			s.await("given a claim", func() bool {
				claims, err := s.admin.CoreV1().PersistentVolumeClaims(s.namespace).List(s.Context(), metav1.ListOptions{})
				s.must(err)
				return slices.ContainsFunc(claims.Items, func(c corev1.PersistentVolumeClaim) bool {
					from := c.Spec.DataSource
					return from != nil && *from.APIGroup == "snapshot.storage.k8s.io" && from.Kind == "VolumeSnapshot" && from.Name == "newest"
				})
			})
			end()
			if got := s.audit.refusals(); len(got) > 0 {
				t.Errorf("it was refused: %q", got)
			}
		})
	}
}

// withVolumeSnapshots gives the API server that all share the resource.
func withVolumeSnapshots(t *testing.T) dynamic.NamespaceableResourceInterface {
	t.Helper()
	client, err := dynamic.NewForConfig(server(t).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/volumesnapshots.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(b, &crd.Object); err != nil {
		t.Fatal(err)
	}
	of := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := of.Create(t.Context(), crd, metav1.CreateOptions{FieldValidation: "Strict"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := of.Delete(ctx, crd.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	snapshots := client.Resource(schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"})
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err = snapshots.List(t.Context(), metav1.ListOptions{}); err == nil {
			return snapshots
		}
		if time.Now().After(end) {
			t.Fatalf("the resource isn't served: %v", err)
		}
	}
}

// maySnapshots gives the site's account the rule that the chart has where a queue asks for it.
func (s *site) maySnapshots() {
	s.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "onejob-snapshots"}}
	for _, o := range objectsOf(s.T, mustRender(s.T, "namespaces")) {
		if of, ok := o.(*rbacv1.Role); ok && of.Name == "onejob" {
			for _, rule := range of.Rules {
				if slices.Contains(rightsOf(rule), snapshotRight) {
					role.Rules = append(role.Rules, rule)
				}
			}
		}
	}
	rbac := s.admin.RbacV1()
	_, err := rbac.Roles(s.namespace).Create(s.Context(), role, metav1.CreateOptions{})
	s.must(err)
	_, err = rbac.RoleBindings(s.namespace).Create(s.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: s.namespace}},
	}, metav1.CreateOptions{})
	s.must(err)
}

// snapshot makes one, with the status that a snapshot controller would write.
func (s *site) snapshot(of dynamic.ResourceInterface, name, app, made string, ready bool) {
	s.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"app": app}},
		"spec":     map[string]any{"source": map[string]any{"persistentVolumeClaimName": "mirrors"}},
	}}
	o, err := of.Create(s.Context(), o, metav1.CreateOptions{})
	s.must(err)
	o.Object["status"] = map[string]any{"readyToUse": ready, "creationTime": made, "restoreSize": "10Gi"}
	_, err = of.UpdateStatus(s.Context(), o, metav1.UpdateOptions{})
	s.must(err)
}
