package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// makeIdentities makes the authority, the admin's client and the control
// plane's certificates.
func (c *Cluster) makeIdentities() error {
	var err error
	if c.ca, err = newAuthority(filepath.Join(c.sandbox.Dir, "pki")); err != nil {
		return fmt.Errorf("making the authority: %w", err)
	}
	admin, err := c.ca.sign("admin", "admin", []string{"system:masters"}, nil, nil)
	if err != nil {
		return err
	}
	c.admin = &rest.Config{
		Host:            "https://" + c.sandbox.Addresses.Inside + ":443",
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem, CertData: admin.cert, KeyData: admin.key},
		QPS:             -1,
	}
	c.KubeconfigPath = filepath.Join(c.sandbox.Dir, "kubeconfig")
	if err := c.WriteKubeconfig(c.KubeconfigPath, c.admin, ""); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return err
	}
	c.plane, err = c.newControlPlane()
	return err
}

// ServiceAccountToken returns a token of the service account, good for an hour
// and bound to nothing but it. The account must exist.
func (c *Cluster) ServiceAccountToken(ctx context.Context, namespace, account string) (string, error) {
	hour := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	token, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("requesting a token of %s/%s: %w", namespace, account, err)
	}
	return token.Status.Token, nil
}

// RESTConfigFor returns the configuration of a client that has the service
// account's rights and no others. See ServiceAccountToken.
func (c *Cluster) RESTConfigFor(ctx context.Context, namespace, account string) (*rest.Config, error) {
	token, err := c.ServiceAccountToken(ctx, namespace, account)
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(c.admin)
	config.BearerToken = token
	return config, nil
}

// WriteKubeconfig writes a kubeconfig file to path, readable by its owner
// alone, for a client of config such as RESTConfigFor returns; namespace is the
// default one and may be empty.
func (c *Cluster) WriteKubeconfig(path string, config *rest.Config, namespace string) error {
	const name = "onejob"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// componentConfig writes a kubeconfig for a component inside of the sandbox, which
// reaches the API server at address, and returns its path.
func (c *Cluster) componentConfig(name, address, user string, groups ...string) (string, error) {
	p, err := c.ca.sign(name, user, groups, nil, nil)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", name, err)
	}
	path := filepath.Join(c.ca.dir, name+".kubeconfig")
	return path, c.WriteKubeconfig(path, &rest.Config{
		Host:            "https://" + address + ":443",
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem, CertData: p.cert, KeyData: p.key},
	}, "")
}
