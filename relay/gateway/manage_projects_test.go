package gateway_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestManageProjects(t *testing.T) {
	w := newManageWorld(t)
	shape := func(name, event, secret string) string {
		return `{"name":"` + name + `","projectId":"<uuid>","tenant":"` + name + `","billingId":"<id>","appKey":"<key>","eventStream":` + event + secret + `}`
	}
	const secret = `,"masterSecret":"<secret>"`
	first := shape("default", "null", "")
	w.call(200, "GET", "/v1/projects", "").want(t, "["+first+"]")
	got := w.call(200, "GET", "/v1/projects/default", "")
	got.want(t, first)
	if !regexp.MustCompile(`^default[0-9]{10}$`).MatchString(got.str("billingId")) || !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(got.str("appKey")) {
		t.Errorf("billing id and app key: %s", got.text)
	}

	made := w.call(201, "POST", "/v1/projects", `{"name":"shop"}`)
	made.want(t, shape("shop", "null", secret))
	w.call(200, "GET", "/v1/projects/shop", "").want(t, shape("shop", "null", ""))
	if got := w.call(409, "POST", "/v1/projects", `{"name":"shop"}`).message(); got != "Project 'shop' exists already" {
		t.Errorf("message %q", got)
	}

	// What is in one project is not in the other.
	w.call(201, "POST", "/v1/streams?project=shop", `{"name":"orders"}`)
	w.call(404, "GET", "/v1/streams/orders", "")
	w.call(200, "GET", "/v1/streams/orders?project=shop", "")
	w.call(404, "GET", "/v1/streams?project=nonesuch", "")

	w.call(200, "PATCH", "/v1/projects/shop", `{"eventStream":"orders"}`).want(t, shape("shop", `"orders"`, ""))
	w.call(200, "PATCH", "/v1/projects/shop", `{}`).want(t, shape("shop", `"orders"`, ""))
	rotated := w.call(200, "PATCH", "/v1/projects/shop", `{"rotateMasterSecret":true}`)
	rotated.want(t, shape("shop", `"orders"`, secret))
	if rotated.str("masterSecret") == made.str("masterSecret") {
		t.Error("the secret stayed")
	}
	w.call(200, "PATCH", "/v1/projects/shop", `{"eventStream":null}`).want(t, shape("shop", "null", ""))
	w.call(400, "PATCH", "/v1/projects/shop", `{"eventStream":"nonesuch"}`)
	w.call(404, "PATCH", "/v1/projects/nonesuch", `{}`)

	if got := w.call(409, "DELETE", "/v1/projects/shop", "").message(); !strings.Contains(got, "shop") {
		t.Errorf("message %q", got)
	}
	w.call(200, "DELETE", "/v1/streams/orders?project=shop", "")
	w.call(200, "DELETE", "/v1/projects/shop", "").want(t, shape("shop", "null", ""))
	w.call(404, "GET", "/v1/projects/shop", "")
	w.call(404, "DELETE", "/v1/projects/shop", "")
}
