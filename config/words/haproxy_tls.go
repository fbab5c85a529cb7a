package words

var tlsVersions = []string{"", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// haproxyGlobalTLS are the defaults that a global section gives to the lines with ssl.
var haproxyGlobalTLS = []Word{
	{Name: "ca-base", Type: String, Field: "CABase", Doc: "Directory in which relative names of CA and CRL files begin."},
	{Name: "crt-base", Type: String, Field: "CrtBase", Doc: "Directory in which relative names of certificates and crt-lists begin."},
	{Name: "ssl-default-bind-ciphers", Type: String, Doc: "`ciphers` of the binds with ssl that have none."},
	{Name: "ssl-default-bind-ciphersuites", Type: String, Doc: "`ciphersuites` of the binds with ssl that have none."},
	{Name: "ssl-default-bind-curves", Type: String, Doc: "`curves` of the binds with ssl that have none."},
	{Name: "ssl-default-bind-options", Type: Line, Doc: "`ssl-min-ver`, `ssl-max-ver`, `no-tlsv10` and its like, `no-tls-tickets` and `strict-sni` for every bind with ssl."},
	{Name: "ssl-default-server-ciphers", Type: String, Doc: "`ciphers` of the servers with ssl that have none."},
	{Name: "ssl-default-server-ciphersuites", Type: String, Doc: "`ciphersuites` of the servers with ssl that have none."},
	{Name: "ssl-default-server-curves", Type: String, Doc: "`curves` of the servers with ssl that have none."},
	{Name: "ssl-default-server-options", Type: Line, Doc: "`ssl-min-ver`, `ssl-max-ver`, `no-tlsv10` and its like and `no-tls-tickets` for every server with ssl."},
	{Name: "ssl-server-verify", Type: Enum, Enum: []string{"none", "", "required"}, Default: "required", Doc: "`verify` of the servers with ssl that have none."},
	{Name: "tune.ssl.default-dh-param", Type: Int, Min: 512, Max: 16384, Status: Accepted, Note: "no cipher with Diffie-Hellman over numbers is offered", Doc: "Size of Diffie-Hellman parameters."},
}

// haproxyTLS are the words of bind and server lines that ssl turns on.
var haproxyTLS = []Word{
	{Name: "ssl", In: []string{"bind", "server"}, Type: Flag, Doc: "Speak TLS. A bind needs a `crt` or `crt-list`, a server a `ca-file` or `verify none`."},
	{Name: "crt", In: []string{"bind"}, Type: String, Doc: "Certificate: a PEM file with key and chain (or FILE and FILE.key), a directory of such, or FILE.ecdsa and FILE.rsa. The first one is the default. FILE.ocsp is stapled. May be repeated."},
	{Name: "crt-list", In: []string{"bind"}, Type: String, Doc: "File with a certificate a line: `FILE [OPTIONS in brackets] [[!]NAME...]`. May be repeated."},
	{Name: "crt", In: []string{"server"}, Type: String, Field: "TLS.Crt", Doc: "Certificate with key that the server is shown when it asks for one."},
	{Name: "ca-file", In: []string{"bind", "server"}, Type: String, Field: "TLS.CAFile", Doc: "Who may have signed the other side's certificate: a PEM file, a directory, or @system-ca."},
	{Name: "crl-file", In: []string{"bind", "server"}, Type: String, Field: "TLS.CRLFile", Doc: "PEM file of lists of revoked certificates."},
	{Name: "verify", In: []string{"bind"}, Type: Enum, Enum: []string{"none", "optional", "required"}, Default: "none", Field: "TLS.Verify", Doc: "Whether clients are asked for a certificate."},
	{Name: "verify", In: []string{"server"}, Type: Enum, Enum: []string{"none", "", "required"}, Default: "required", Field: "TLS.Verify", Doc: "Whether the server's certificate is checked."},
	{Name: "verifyhost", In: []string{"server"}, Type: String, Field: "TLS.VerifyHost", Doc: "Name that the server's certificate must be for. Default: the one sent as SNI, else any."},
	{Name: "sni", In: []string{"server"}, Type: String, Field: "TLS.SNI", Doc: "Name that the server is asked for: `str(NAME)`, `req.hdr(host)` or `ssl_fc_sni`."},
	{Name: "alpn", In: []string{"bind", "server"}, Type: String, Field: "TLS.ALPN", Doc: "Protocols to agree on, separated by commas, the preferred one first."},
	{Name: "ssl-min-ver", In: []string{"bind", "server"}, Type: Enum, Enum: tlsVersions, Field: "TLS.MinVersion", Doc: "Oldest version. Default: TLSv1.2."},
	{Name: "ssl-max-ver", In: []string{"bind", "server"}, Type: Enum, Enum: tlsVersions, Field: "TLS.MaxVersion", Doc: "Newest version. Default: the newest there is."},
	{Name: "ciphers", In: []string{"bind", "server"}, Type: String, Field: "TLS.Ciphers", Doc: "Ciphers up to TLSv1.2, as OpenSSL lists them. Their order is the library's."},
	{Name: "ciphersuites", In: []string{"bind", "server"}, Type: String, Field: "TLS.CipherSuites", Doc: "Cipher suites of TLSv1.3. The library offers all three that it has."},
	{Name: "curves", In: []string{"bind", "server"}, Type: String, Field: "TLS.Curves", Doc: "Curves for the key exchange, separated by colons."},
	{Name: "strict-sni", In: []string{"bind"}, Type: Flag, Field: "TLS.StrictSNI", Doc: "Who names no name that there is a certificate for is refused."},
	{Name: "no-tls-tickets", In: []string{"bind", "server"}, Type: Flag, Field: "TLS.NoTickets", Doc: "Sessions are not resumed by tickets."},
	{Name: "no-ssl", In: []string{"server"}, Type: Flag, Doc: "Speak in clear, whatever `default-server` says."},
	{Name: "check-ssl", In: []string{"server"}, Type: Flag, Doc: "Check over TLS though `port` or `addr` lead elsewhere; needs `ssl`."},
	{Name: "no-check-ssl", In: []string{"server"}, Type: Flag, Doc: "Check in clear."},
	{Name: "check-sni", In: []string{"server"}, Type: String, Field: "Check.SNI", Doc: "Name that checks over TLS ask for."},
	{Name: "no-ssl-reuse", In: []string{"server"}, Type: Flag, Field: "TLS.NoReuse", Doc: "Sessions with the server are not resumed."},
	{Name: "tls-ticket-keys", In: []string{"bind"}, Type: String, Field: "TLS.TicketKeys", Doc: "File of the keys that session tickets are sealed with: a key a line in base64, the last but one seals."},
	{Name: "no-sslv3", In: []string{"bind", "server"}, Type: Flag, Doc: "Nothing to do: there is no SSLv3."},
	{Name: "no-tlsv10", In: []string{"bind", "server"}, Type: Flag, Doc: "No TLSv1.0."},
	{Name: "no-tlsv11", In: []string{"bind", "server"}, Type: Flag, Doc: "No TLSv1.1."},
	{Name: "no-tlsv12", In: []string{"bind", "server"}, Type: Flag, Doc: "No TLSv1.2."},
	{Name: "no-tlsv13", In: []string{"bind", "server"}, Type: Flag, Doc: "No TLSv1.3."},
	{Name: "force-tlsv10", In: []string{"bind", "server"}, Type: Flag, Doc: "TLSv1.0 alone."},
	{Name: "force-tlsv11", In: []string{"bind", "server"}, Type: Flag, Doc: "TLSv1.1 alone."},
	{Name: "force-tlsv12", In: []string{"bind", "server"}, Type: Flag, Doc: "TLSv1.2 alone."},
	{Name: "force-tlsv13", In: []string{"bind", "server"}, Type: Flag, Doc: "TLSv1.3 alone."},
	{Name: "prefer-client-ciphers", In: []string{"bind"}, Type: Flag, Status: Accepted, Note: "ciphers are ordered by the library", Doc: "The client's order of ciphers counts."},
}
