package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// manageMaxFaults is how many faults of one request an answer names.
const manageMaxFaults = 5

// manageProblem turns the problem document that huma makes of a bad request into our shape, in the words of the rest of
// this API and without the values that huma echoes.
func manageProblem(p *huma.ErrorModel) *manageError {
	switch p.Status {
	case http.StatusUnprocessableEntity:
		p.Status = http.StatusBadRequest
	case http.StatusInternalServerError:
		return manageInternal()
	case http.StatusUnsupportedMediaType:
		return manageErrorf(p.Status, "The body must be JSON, sent as Content-Type application/json and not compressed")
	case http.StatusRequestEntityTooLarge:
		// huma was given one byte more than is allowed, for it refuses a body of exactly its limit.
		if _, after, ok := strings.Cut(p.Detail, "limit="); ok {
			var limit int
			if _, err := fmt.Sscanf(after, "%d bytes", &limit); err == nil {
				return manageErrorf(p.Status, "The body is larger than this route takes, %d bytes", limit-1)
			}
		}
		return manageErrorf(p.Status, "The body is larger than this route takes")
	}
	faults := make([]string, 0, len(p.Errors))
	for _, d := range p.Errors {
		if d != nil {
			faults = append(faults, manageFault(d))
		}
	}
	// huma walks maps: without order the same request would get another answer each time.
	slices.Sort(faults)
	switch n := len(faults); {
	case n == 0 && p.Status == http.StatusBadRequest:
		return manageErrorf(p.Status, "The body is missing")
	case n == 0:
		return manageErrorf(p.Status, "%s", p.Detail)
	case n > manageMaxFaults:
		faults = append(faults[:manageMaxFaults], fmt.Sprintf("and %d more", n-manageMaxFaults))
	}
	return manageErrorf(p.Status, "%s", strings.Join(faults, "; "))
}

// manageFault says in one sentence where something is wrong and what it must be.
func manageFault(d *huma.ErrorDetail) string {
	where, said := manageMember(d.Location), d.Message
	if name, ok := strings.CutPrefix(said, manageBefore(validation.MsgExpectedRequiredProperty)); ok {
		name, _, _ = strings.Cut(name, " ")
		if where == "" {
			return name + ": is missing"
		}
		return where + "." + name + ": is missing"
	}
	said = manageRule(said, where)
	if where == "" {
		return "The body " + said
	}
	return where + ": " + said
}

// manageRules are huma's rules whose texts say a number or a list, and ours.
var manageRules = []struct{ theirs, before, after string }{
	{manageBefore(validation.MsgExpectedMinLength), "must have at least ", " characters"},
	{manageBefore(validation.MsgExpectedMaxLength), "must have at most ", " characters"},
	{manageBefore(validation.MsgExpectedMinItems), "must have at least ", " elements"},
	{manageBefore(validation.MsgExpectedMaxItems), "must have at most ", " elements"},
	{manageBefore(validation.MsgExpectedMinimumNumber), "must be at least ", ""},
	{manageBefore(validation.MsgExpectedMaximumNumber), "must be at most ", ""},
	{manageBefore(validation.MsgExpectedOneOf), "must be one of ", ""},
	{manageBefore(validation.MsgExpectedBePattern), "must be ", ""},
	{"expected ", "must be a ", ""}, // string, object, …
}

// manageRule puts a rule of huma's into our words.
func manageRule(said, where string) string {
	switch said {
	case validation.MsgUnexpectedProperty, "unknown query parameter":
		return "is not known here"
	case validation.MsgExpectedArray:
		return "must be a list"
	case validation.MsgExpectedObject:
		return "must be an object"
	case validation.MsgExpectedInteger:
		return "must be a whole number"
	case validation.MsgExpectedMatchAtLeastOneSchema:
		return manageKinds(where)
	case "invalid boolean":
		return "must be true or false"
	case "invalid date/time for format " + time.RFC3339Nano:
		return "must be a time such as 2026-11-20T00:00:00Z"
	}
	for _, r := range manageRules {
		if rest, ok := strings.CutPrefix(said, r.theirs); ok {
			return r.before + strings.Trim(rest, `"`) + r.after
		}
	}
	return said
}

// manageKinds says what a member must be that may be of several kinds.
func manageKinds(where string) string {
	switch where[strings.LastIndexByte(where, '.')+1:] {
	case "schema":
		return "must be a schema, as an object or as text"
	case "ref":
		return "must be handle/name/version"
	default:
		return errManageCount.Error()
	}
}

// manageBefore is what a format of huma's says before its first verb.
func manageBefore(format string) string {
	before, _, _ := strings.Cut(format, "%")
	return strings.TrimSuffix(before, `"`)
}

// manageMember shortens a place like body.limits.eventRate to what the sender calls it; empty is the body itself.
func manageMember(location string) string {
	if location == "body" {
		return ""
	}
	if rest, ok := strings.CutPrefix(location, "body."); ok {
		return rest
	}
	place, name, ok := strings.Cut(location, ".")
	if !ok {
		return location
	}
	return place + " parameter " + name
}
