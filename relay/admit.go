package relay

import (
	"bytes"
	"fmt"
	"time"

	"sluice/relay/contract"
)

// CheckEvent holds an event to a contract as Accept does, without a stream and without storing it. The error is a
// *contract.Violation.
func (r *Relay) CheckEvent(c *contract.Contract, enc contract.Encoding, body []byte) error {
	w := intakes.Get().(*intake)
	defer w.release()
	if err := c.CheckAs(&w.checked, enc, body); err != nil {
		return err
	}
	return admissible(c, &w.checked, r.now())
}

// admissible is what an event must keep beside its contract's own rules: it names no other contract than the one it is
// held to, and it is not too old.
func admissible(c *contract.Contract, k *contract.Checked, now time.Time) error {
	if len(k.ContractRef) > 0 && !bytes.Equal(k.ContractRef, c.RefBytes()) {
		return violation(fmt.Sprintf("Event does not match schema '%s': field 'strmMeta/eventContractRef' must be '%s'", c.Ref(), c.Ref()))
	}
	if len(k.SchemaID) > 0 && schemaID(c, k) == "" {
		want := "'" + c.Ref() + "'"
		if short := c.ShortID(); short != "" {
			want = "'" + short + "' or " + want
		}
		return violation(fmt.Sprintf("Event does not match schema '%s': field 'strmMeta/schemaId' must be %s", c.Ref(), want))
	}
	if k.Occurred != 0 && now.UnixMilli()-k.Occurred > maximumAge.Milliseconds() {
		return violation(fmt.Sprintf("Event does not match schema '%s': it occurred more than 90 days ago", c.Ref()))
	}
	return nil
}

// schemaID is the name of the contract that an event's strmMeta.schemaId gives, empty when it is neither of them.
func schemaID(c *contract.Contract, k *contract.Checked) string {
	switch string(k.SchemaID) {
	case c.ShortID():
		return c.ShortID()
	case c.Ref():
		return c.Ref()
	}
	return ""
}
