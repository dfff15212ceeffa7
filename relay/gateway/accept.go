package gateway

import (
	"strconv"
	"strings"
)

// encodings is what a client says about gzip in its Accept-Encoding fields (RFC 9110 §12.5.3).
type encodings struct {
	said     bool    // the field is there, be it empty
	gzip     float64 // weight of gzip where it is named, else -1
	identity float64 // likewise
	any      float64 // weight of *
}

func acceptEncoding(h headers) encodings {
	e := encodings{gzip: -1, identity: -1, any: -1}
	for _, v := range h.PeekAll("Accept-Encoding") {
		e.said = true
		for item := range strings.SplitSeq(string(v), ",") {
			name, params, _ := strings.Cut(item, ";")
			q := weight(params)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				e.gzip = max(e.gzip, q)
			case "identity":
				e.identity = max(e.identity, q)
			case "*":
				e.any = max(e.any, q)
			}
		}
	}
	return e
}

// asked tells whether the client asks for gzip: it names it and does not like plain bytes better.
func (e encodings) asked() bool { return e.gzip > 0 && e.gzip >= e.identity }

// allowed tells whether the client may be sent gzip though it may not have asked: some read nothing else and say
// nothing. Plain bytes only where it says something that leaves gzip out.
func (e encodings) allowed() bool {
	switch {
	case !e.said:
		return true
	case e.gzip >= 0:
		return e.asked()
	default:
		return e.any > 0 && e.any >= e.identity
	}
}

// weight reads the q parameter: 1 where there is none, 0 where it cannot be read.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		key, val, ok := strings.Cut(p, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(val), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// mediaRange is one element of an Accept field: its type in lower case and its parameters as sent.
type mediaRange struct{ name, params string }

func acceptRanges(h headers) (ranges []mediaRange) {
	for _, v := range h.PeekAll("Accept") {
		for item := range strings.SplitSeq(string(v), ",") {
			name, params, _ := strings.Cut(item, ";")
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				ranges = append(ranges, mediaRange{name, params})
			}
		}
	}
	return ranges
}

// version is the version parameter of a media range, empty without one.
func (m mediaRange) version() string {
	for p := range strings.SplitSeq(m.params, ";") {
		if key, val, ok := strings.Cut(p, "="); ok && strings.EqualFold(strings.TrimSpace(key), "version") {
			return strings.Trim(strings.TrimSpace(val), `"`)
		}
	}
	return ""
}

// wantsVersion3 tells whether an Accept can be met by version 3 of the streaming API. Missing, of any type or without
// a version it can; only one that names other versions and nothing else cannot.
func wantsVersion3(h headers) bool {
	ranges := acceptRanges(h)
	for _, m := range ranges {
		if v := m.version(); v == "" || v == "3" {
			return true
		}
	}
	return len(ranges) == 0
}

// wantsServerEvents tells whether an Accept asks for server-sent events rather than for lines.
func wantsServerEvents(h headers) bool {
	served, lines := 0.0, 0.0
	for _, m := range acceptRanges(h) {
		switch m.name {
		case typeServerEvents:
			served = max(served, weight(m.params))
		case typeNDJSON:
			lines = max(lines, weight(m.params))
		}
	}
	return served > lines
}
