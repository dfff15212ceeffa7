package payload_test

import (
	"strings"
	"testing"

	"sluice/relay/payload"
)

// Half of a character by number has no place in XML; the decoder would put another character there. Where it is plain text it is text.
func TestReferencesToSurrogates(t *testing.T) {
	for text, ok := range map[string]bool{
		`<a><r>&#xD800;</r></a>`:                       false,
		`<a><r>&#xdfff;</r></a>`:                       false,
		`<a><r>&#55296;</r></a>`:                       false,
		`<a><r>&#x000D801;</r></a>`:                    false,
		`<a><r k="&#xDC00;">x</r></a>`:                 false,
		`<a><r>&amp;&#65;&#xD83D;&#xDE00;</r></a>`:     false,
		`<a><!-- x --><r>&#xD800;</r></a>`:             false,
		`<a><r><![CDATA[x]]>&#xD800;</r></a>`:          false,
		`<a><r>&#xD7FF;&#xE000;&#128512;&#65;</r></a>`: true,
		`<a><r><![CDATA[&#xD800;]]></r></a>`:           true,
		`<a><!-- &#xD800; --><r>&#65;</r></a>`:         true,
		`<a><?p &#xD800;?><r>&#65;</r></a>`:            true,
		`<a><r>&amp;#xD800;</r></a>`:                   true,
		`<a><r>&#65533;</r></a>`:                       true, // the very character that the decoder puts there
	} {
		var d payload.Document
		err := d.Parse([]byte(text))
		if ok != (err == nil) || !ok && !strings.Contains(err.Error(), "a character that XML does not allow") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
