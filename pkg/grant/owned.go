// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objects is the part of a typed client that a kind of object is kept by.
type objects[T metav1.Object] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// repair is what it takes to make an object as it should be.
type repair int

const (
	keep repair = iota
	update
	replace
)

// ownedReady returns the object of the grant that want describes, created where it is
// missing. One that is there is mended: mend changes what it finds and says what
// that takes. One of that name that is not the grant's is a *RefusedError and is not touched.
func ownedReady[T metav1.Object](ctx context.Context, w *worker, api objects[T], want T, mend func(found T) (repair, error)) (T, error) {
	found, err := api.Get(ctx, want.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found, err = api.Create(ctx, want, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			w.changed.Store(true)
			return found, err
		}
		found, err = api.Get(ctx, want.GetName(), metav1.GetOptions{})
	}
	if err != nil {
		return found, err
	}
	if !w.owns(found) {
		return found, w.conflict("%T %s exists and is not this grant's", want, want.GetName())
	}
	needed, err := mend(found)
	if err != nil {
		return found, err
	}
	if needed != keep {
		w.changed.Store(true)
	}
	switch needed {
	case update:
		return api.Update(ctx, found, metav1.UpdateOptions{})
	case replace:
		if err := deleteExactly(ctx, found, api.Delete); err != nil {
			return found, err
		}
		return api.Create(ctx, want, metav1.CreateOptions{})
	default:
		return found, nil
	}
}
