// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"time"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

const (
	// memberServiceAccount is the account of clusterpass on a member, in SystemNamespace.
	memberServiceAccount = "clusterpass"
	// memberTokenLifetime outlasts a fleet that is left alone for weeks.
	memberTokenLifetime = 30 * 24 * time.Hour

	memberSecretKey         = "kubeconfig"
	memberKubeconfigLabel   = "clusterpass.dev/member-kubeconfig"
	memberProfileAnnotation = "clusterpass.dev/cluster-profile"
)

// memberSecretName returns the name of the hub Secret, in SystemNamespace, with the kubeconfig for
// a member.
func memberSecretName(namespace, name string) string {
	return "member-" + namespace + "-" + name
}

// ensureMemberSecret keeps a working kubeconfig for the member in a Secret of the hub.
func ensureMemberSecret(
	ctx context.Context, hub, members kubernetes.Interface, member *Cluster, namespace, name string,
) error {
	old, err := hub.CoreV1().Secrets(SystemNamespace).Get(ctx, memberSecretName(namespace, name), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	token, err := memberToken(ctx, members, old.Data[memberSecretKey])
	if err != nil {
		return err
	}
	kubeconfig, err := member.kubeconfig(memberServiceAccount, clientcmdapi.AuthInfo{Token: token})
	if err != nil {
		return err
	}
	labels := map[string]string{memberKubeconfigLabel: "true"}
	annotations := map[string]string{memberProfileAnnotation: namespace + "/" + name}
	data := map[string][]byte{memberSecretKey: kubeconfig}
	if equality.Semantic.DeepEqual(data, old.Data) && equality.Semantic.DeepEqual(labels, old.Labels) &&
		equality.Semantic.DeepEqual(annotations, old.Annotations) {
		return nil
	}
	if err := applyNamespace(ctx, hub, SystemNamespace); err != nil {
		return err
	}
	secret := corev1ac.Secret(memberSecretName(namespace, name), SystemNamespace).WithType(corev1.SecretTypeOpaque).
		WithLabels(labels).WithAnnotations(annotations).WithData(data)
	_, err = hub.CoreV1().Secrets(SystemNamespace).Apply(ctx, secret, applied)
	return err
}

// memberToken returns the token of the kubeconfig while the member accepts it and half of its life
// is left, else a new one.
func memberToken(ctx context.Context, member kubernetes.Interface, kubeconfig []byte) (string, error) {
	token, renewAt := tokenOf(kubeconfig)
	if time.Now().Before(renewAt) {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
		review, err := member.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		if review.Status.Authenticated {
			return token, nil
		}
	}
	request, err := member.CoreV1().ServiceAccounts(SystemNamespace).CreateToken(ctx, memberServiceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: ptr.To(int64(memberTokenLifetime.Seconds())),
		}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of ServiceAccount %s/%s: %w", SystemNamespace, memberServiceAccount, err)
	}
	return request.Status.Token, nil
}

// tokenOf returns the token of a kubeconfig and when half of its life is over: the zero time if
// there is no such token.
func tokenOf(kubeconfig []byte) (token string, renewAt time.Time) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return "", time.Time{}
	}
	parsed, err := jwt.ParseSigned(config.BearerToken)
	if err != nil {
		return "", time.Time{}
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.Expiry == nil {
		return "", time.Time{}
	}
	return config.BearerToken, claims.Expiry.Time().Add(-memberTokenLifetime / 2)
}
