// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package gone

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestIs(t *testing.T) {
	grants := schema.GroupResource{Group: "clusterpass.dev", Resource: "authtokengrants"}
	notFound, withoutDetails := apierrors.NewNotFound(grants, "work"), apierrors.NewNotFound(grants, "work")
	withoutDetails.ErrStatus.Details = nil
	others := schema.GroupResource{Group: "example.com", Resource: "authtokengrants"}
	newResponse := apierrors.NewGenericServerResponse
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no error":                          {nil, false},
		"the object":                        {notFound, true},
		"the object, in a wrapped error":    {fmt.Errorf("grant: %w", notFound), true},
		"another object":                    {apierrors.NewNotFound(grants, "play"), false},
		"an object of another resource":     {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "work"), false},
		"an object of another group":        {apierrors.NewNotFound(others, "work"), false},
		"an answer without an API server":   {newResponse(http.StatusNotFound, "get", grants, "work", "404 page not found", 0, true), false},
		"an answer that names no object":    {newResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, false), false},
		"an answer without details":         {withoutDetails, false},
		"the object, which is in our way":   {apierrors.NewConflict(grants, "work", errors.New("it is not as you know it")), false},
		"an error that is no answer at all": {errors.New("connection refused"), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, Is(test.err, grants, "work")) })
	}
}
