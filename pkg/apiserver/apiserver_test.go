// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	"github.com/stretchr/testify/assert"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// No policy raises the audit level of requests for tokens.
func TestWithoutTokens_EvaluatePolicyRule(t *testing.T) {
	for name, test := range map[string]struct {
		resource, subresource string
		policy, want          auditinternal.Level
	}{
		"a request for a token":   {"authtokenrequests", "", auditinternal.LevelRequestResponse, auditinternal.LevelMetadata},
		"the subresource":         {"clusterprofiles", "token", auditinternal.LevelRequest, auditinternal.LevelMetadata},
		"a policy that says less": {"authtokenrequests", "", auditinternal.LevelNone, auditinternal.LevelNone},
		"anything else":           {"clusterprofiles", "", auditinternal.LevelRequestResponse, auditinternal.LevelRequestResponse},
	} {
		t.Run(name, func(t *testing.T) {
			attributes := authorizer.AttributesRecord{Resource: test.resource, Subresource: test.subresource}
			assert.Equal(t, test.want, withoutTokens{policy.NewFakePolicyRuleEvaluator(test.policy, nil)}.EvaluatePolicyRule(attributes).Level)
		})
	}
}
