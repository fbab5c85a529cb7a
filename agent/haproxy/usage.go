package haproxy

import "fmt"

// Spoken is the version of HAProxy whose words this program speaks: what programs that ask for a version are told.
const Spoken = "2.6.12"

// banner names the version as haproxy does, so that programs which take the third word find it.
func (e Env) banner() string { return fmt.Sprintf("HAProxy version %s (Reeve %s)", Spoken, e.Version) }

// Usage lists the options; all lines begin with a blank.
const Usage = `
  -f FILE      read this file; a directory is read for its *.cfg. May be
               repeated: the files are one configuration, in this order
  -- FILE...   more files
  -c           say what is wrong with the files and end: 0 nothing, 1 a
               mistake, 2 nothing to listen on
  -C DIR       change to this directory before the files are read
  -n MAX       connections of the process, in place of 'global maxconn'
  -N MAX       connections of each frontend without a maxconn of its own
  -m MEGABYTES bound of the memory for connections: what is beyond it is
               answered with 503, or not accepted
  -p FILE      write the process's number to this file
  -L NAME      name of the node (default: the host's)
  -db          never into the background
  -d           log in detail
  -q, -V       print nothing; print all the same
  -dW          a warning is an error
  -W, -Ws      HUP reads the files again, as with a master process; there
               is one process in any case
  -v, -vv      print the version; and what is in it
  -D           not supported yet: run it under a service manager
  -sf, -st     not supported yet: USR2 reloads in place`

// printUsage is what haproxy prints when it does not understand its command line, with its exit code.
func printUsage(o Options, e Env) int {
	fmt.Fprintf(e.Stderr, "%s\nUsage : haproxy [OPTION...]\n%s\n", e.banner(), Usage)
	return exitFailed
}

// printVersion says first what programs look for.
func printVersion(o Options, e Env) int {
	fmt.Fprintln(e.Stdout, e.banner())
	fmt.Fprintln(e.Stdout, "This is Reeve, which runs haproxy's configuration and goes by its command line.")
	if o.Version > 1 {
		fmt.Fprintln(e.Stdout, "\nFeature list : +EPOLL +THREAD +ACCEPT4 +NETFILTER -LUA -OPENSSL -PCRE2 -QUIC")
		fmt.Fprintln(e.Stdout, "\nDefault settings :\n  bufsize = 16384, maxrewrite = 1024, maxpollevents = 256")
	}
	return exitOK
}
