package words

import "time"

// nativeWords exist in HCL alone: settings of the node, and what differs from node to node.
var nativeWords = []Word{
	{Name: "node", In: []string{"native"}, Type: String, Field: "Name", Doc: "Name of this machine in the cluster. Default: the host's name."},
	{Name: "bind", In: []string{"native"}, Type: String, Field: "Bind", Doc: "Address that the cluster's ports listen on."},
	{Name: "advertise", In: []string{"native"}, Type: String, Field: "Advertise", Doc: "Address that the other nodes are told. Default: bind."},
	{Name: "data_dir", In: []string{"native"}, Type: String, Field: "DataDir", Doc: "Directory of the node's state."},
	{Name: "bootstrap_expect", In: []string{"native"}, Type: Int, Min: 1, Max: 9, Field: "BootstrapExpect", Doc: "Nodes to wait for before the cluster is begun."},
	{Name: "retry_join", In: []string{"native"}, Type: Strings, Field: "RetryJoin", Doc: "Other nodes, tried until one answers."},
	{Name: "encrypt", In: []string{"native"}, Type: String, Field: "Encrypt", Doc: "The cluster's key, from `reeve keygen`."},
	{Name: "http_addr", In: []string{"native"}, Type: String, Field: "HTTPAddr", Default: "127.0.0.1:7500", Doc: "Address of the API and the UI."},
	{Name: "http_token", In: []string{"native"}, Type: String, Field: "HTTPToken", Doc: "What a client must present; needed to listen off loopback."},
	{Name: "log_level", In: []string{"native"}, Type: Enum, Enum: []string{"", "trace", "debug", "info", "warn", "error"}, Field: "LogLevel", Default: "info", Doc: "How much is logged."},
	{Name: "witness", In: []string{"native"}, Type: Flag, Field: "Witness", Doc: "A voter without a data plane."},
	{Name: "memory_max", In: []string{"native"}, Type: Int, Max: 1 << 24, Field: "MemoryMax", Doc: "MiB that the whole process may take. Requests beyond that are answered 503, connections are closed. 0: no bound."},
	{Name: "ports", In: []string{"native-block"}, Type: Block, Sub: "ports", Doc: "Other ports than the usual ones."},
	{Name: "http", In: []string{"ports"}, Type: Int, Min: 1, Max: 65535, Field: "Ports.HTTP", Default: "7500", Doc: "API and UI."},
	{Name: "rpc", In: []string{"ports"}, Type: Int, Min: 1, Max: 65535, Field: "Ports.RPC", Default: "7300", Doc: "Raft and calls between nodes, TLS."},
	{Name: "gossip", In: []string{"ports"}, Type: Int, Min: 1, Max: 65535, Field: "Ports.Gossip", Default: "7301", Doc: "Membership, TCP and UDP."},
	{Name: "tls", In: []string{"native-block"}, Type: Block, Sub: "tls", Doc: "Certificates of the node's own in place of those made from the cluster's key."},
	{Name: "ca_file", In: []string{"tls"}, Type: String, Field: "CAFile", Doc: "Who signs the nodes' certificates."},
	{Name: "cert_file", In: []string{"tls"}, Type: String, Field: "CertFile", Doc: "The node's certificate."},
	{Name: "key_file", In: []string{"tls"}, Type: String, Field: "KeyFile", Doc: "Its key."},
	{Name: "node", In: []string{"native-block"}, Type: Block, Args: []string{"name"}, Labels: 1, Sub: "override", Doc: "What one node has otherwise than the rest."},
	{Name: "router_id", In: []string{"override"}, Type: String, Field: "RouterID", Doc: "As in global_defs."},
	{Name: "frontend", In: []string{"override"}, Type: Block, Args: []string{"name"}, Labels: 1, Sub: "override-frontend", Doc: "What the node has otherwise in this frontend: the addresses it listens on."},
	{Name: "vrrp_instance", In: []string{"override"}, Type: Block, Args: []string{"name"}, Labels: 1, Sub: "override-instance", Doc: "What the node has otherwise in this instance."},
	{Name: "state", In: []string{"override-instance"}, Type: Enum, Enum: []string{"", "MASTER", "BACKUP"}, Field: "State", Doc: "As in vrrp_instance."},
	{Name: "priority", In: []string{"override-instance"}, Type: Int, Min: 1, Max: 255, Field: "Priority", Doc: "As in vrrp_instance."},
	{Name: "interface", In: []string{"override-instance"}, Type: String, Field: "Interface", Doc: "As in vrrp_instance."},
	{Name: "devs", In: []string{"override-instance"}, Type: Strings, Field: "Devs", Doc: "The dev of each address of virtual_ipaddress, then of virtual_ipaddress_excluded; \"\" is the instance's interface."},
	{Name: "mcast_src_ip", In: []string{"override-instance"}, Type: Addr, Field: "McastSrcIP", Doc: "As in vrrp_instance."},
	{Name: "track_interface", In: []string{"override-instance"}, Type: Lines, Field: "TrackInterfaces", Doc: "In place of the instance's."},
	{Name: "notify_master", In: []string{"override-instance"}, Type: Script, Field: "NotifyMaster", Doc: "In place of the instance's."},
	{Name: "notify_backup", In: []string{"override-instance"}, Type: Script, Field: "NotifyBackup", Doc: "In place of the instance's."},
	{Name: "notify_fault", In: []string{"override-instance"}, Type: Script, Field: "NotifyFault", Doc: "In place of the instance's."},
	{Name: "notify_stop", In: []string{"override-instance"}, Type: Script, Field: "NotifyStop", Doc: "In place of the instance's."},
	{Name: "notify", In: []string{"override-instance"}, Type: Script, Field: "Notify", Doc: "In place of the instance's."},
	{Name: "notify_deleted", In: []string{"override-instance"}, Type: Script, Field: "NotifyDeleted", Doc: "In place of the instance's."},
	{Name: "notify_master_rx_lower_pri", In: []string{"override-instance"}, Type: Script, Field: "NotifyMasterRxLower", Doc: "In place of the instance's."},
	{Name: "unicast_peer", In: []string{"override-instance"}, Type: Lines, Field: "UnicastPeers", Doc: "In place of the instance's."},
	{Name: "nopreempt", In: []string{"override-instance"}, Type: Flag, Field: "NoPreempt", Doc: "As in vrrp_instance."},
	{Name: "preempt_delay", In: []string{"override-instance"}, Type: Duration, Unit: time.Second, Max: 1000, Field: "PreemptDelay", Doc: "As in vrrp_instance."},
	{Name: "notification_email_from", In: []string{"override"}, Type: String, Field: "MailFrom", Doc: "As in global_defs."},
	{Name: "smtp_helo_name", In: []string{"override"}, Type: String, Field: "HeloName", Doc: "As in global_defs."},
}

// nativeAlerts say where transitions are told beside mail and scripts.
var nativeAlerts = []Word{
	{Name: "snmp", Type: Block, Sub: "snmp", Doc: "Where SNMP traps go."},
	{Name: "trap_sink", In: []string{"snmp"}, Type: String, Field: "TrapSink", Doc: "Host, perhaps with :PORT (162)."},
	{Name: "version", In: []string{"snmp"}, Type: Enum, Enum: []string{"", "2c", "3"}, Field: "Version", Default: "2c", Doc: "Version of SNMP."},
	{Name: "community", In: []string{"snmp"}, Type: String, Field: "Community", Default: "public", Doc: "Community of version 2c."},
	{Name: "user", In: []string{"snmp"}, Type: Block, Sub: "snmp-user", Doc: "User of version 3 (RFC 3414)."},
	{Name: "name", In: []string{"snmp-user"}, Type: String, Field: "Name", Doc: "Its name."},
	{Name: "auth_protocol", In: []string{"snmp-user"}, Type: Enum, Enum: []string{"", "MD5", "SHA", "SHA256"}, Field: "AuthProtocol", Doc: "How traps are signed. Default: not."},
	{Name: "auth_pass", In: []string{"snmp-user"}, Type: String, Field: "AuthPass", Doc: "The password of that, at least 8 bytes."},
	{Name: "priv_protocol", In: []string{"snmp-user"}, Type: Enum, Enum: []string{"", "DES", "AES"}, Field: "PrivProtocol", Doc: "How traps are encrypted. Default: not."},
	{Name: "priv_pass", In: []string{"snmp-user"}, Type: String, Field: "PrivPass", Doc: "The password of that, at least 8 bytes."},
	{Name: "webhook", Type: Block, Args: []string{"name"}, Labels: 1, Sub: "webhook", Doc: "Where transitions are posted as JSON."},
	{Name: "url", In: []string{"webhook"}, Type: String, Field: "URL", Doc: "http:// or https:// address."},
	{Name: "secret", In: []string{"webhook"}, Type: String, Field: "Secret", Doc: "Signs the body: HMAC-SHA256 in X-Reeve-Signature. Default: unsigned."},
	{Name: "timeout", In: []string{"webhook"}, Type: Duration, Unit: time.Second, Max: 300, Field: "Timeout", Default: "5s", Doc: "Longest wait for an answer."},
	{Name: "retries", In: []string{"webhook"}, Type: Int, Max: 100, Field: "Retries", Default: "3", Doc: "How often a post that failed is sent again."},
}

// complete writes what all rows of a list have in common. A row that says it itself is left alone.
func complete(rows []Word, d Dialect, scope string, unit time.Duration) []Word {
	for i := range rows {
		w := &rows[i]
		if w.Dialect == "" {
			w.Dialect = d
		}
		if w.In == nil {
			w.In = []string{scope}
		}
		if w.Type == Duration && w.Unit == 0 {
			w.Unit = unit
		}
	}
	return rows
}
