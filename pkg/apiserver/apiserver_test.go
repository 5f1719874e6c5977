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
	tests := map[string]struct {
		attributes authorizer.AttributesRecord
		policy     auditinternal.Level
		want       auditinternal.Level
	}{
		"a request for a token": {
			authorizer.AttributesRecord{Resource: "authtokenrequests"}, auditinternal.LevelRequestResponse, auditinternal.LevelMetadata,
		},
		"the subresource": {
			authorizer.AttributesRecord{Resource: "clusterprofiles", Subresource: "token"}, auditinternal.LevelRequest, auditinternal.LevelMetadata,
		},
		"a policy that says less": {
			authorizer.AttributesRecord{Resource: "authtokenrequests"}, auditinternal.LevelNone, auditinternal.LevelNone,
		},
		"anything else": {
			authorizer.AttributesRecord{Resource: "clusterprofiles"}, auditinternal.LevelRequestResponse, auditinternal.LevelRequestResponse,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			evaluator := withoutTokens{policy.NewFakePolicyRuleEvaluator(test.policy, nil)}
			assert.Equal(t, test.want, evaluator.EvaluatePolicyRule(test.attributes).Level)
		})
	}
}
