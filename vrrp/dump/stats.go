package dump

import (
	"bytes"
	"fmt"
)

// StatsText is keepalived.stats: the counters of each instance, for people and for programs that go by the indentation.
func StatsText(s Snapshot) []byte {
	var b bytes.Buffer
	for _, in := range s.Config.Instances {
		st := s.instance(in).Stats
		fmt.Fprintf(&b, "VRRP Instance: %s\n", in.Name)
		b.WriteString("  Advertisements:\n")
		count(&b, "Received", st.AdvertRcvd)
		count(&b, "Sent", st.AdvertSent)
		fmt.Fprintf(&b, "  Became master: %d\n  Released master: %d\n", st.BecomeMaster, st.ReleaseMaster)
		b.WriteString("  Packet Errors:\n")
		count(&b, "Length", st.PacketLenErr)
		count(&b, "TTL", st.IPTTLErr)
		count(&b, "Invalid Type", st.InvalidTypeRcvd)
		count(&b, "Advertisement Interval", st.AdvertIntervalErr)
		count(&b, "Address List", st.AddrListErr)
		b.WriteString("  Authentication Errors:\n")
		count(&b, "Invalid Type", st.InvalidAuthType)
		count(&b, "Type Mismatch", st.AuthTypeMismatch)
		count(&b, "Failure", st.AuthFailure)
		b.WriteString("  Priority Zero:\n")
		count(&b, "Received", st.PriZeroRcvd)
		count(&b, "Sent", st.PriZeroSent)
	}
	return b.Bytes()
}

func count(b *bytes.Buffer, what string, n uint64) { fmt.Fprintf(b, "    %s: %d\n", what, n) }
