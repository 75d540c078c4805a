package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ctrx/internal/errs"
)

// hostKeys says which key a host must have.
type hostKeys struct {
	host  host
	check gossh.HostKeyCallback // nil: no file of known hosts is there
}

func newHostKeys(h host) (*hostKeys, error) {
	k := &hostKeys{host: h}
	var files []string
	for _, file := range h.known {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		return k, nil
	}
	var err error
	if k.check, err = knownhosts.New(files...); err != nil {
		return nil, errs.New(errs.ProjectFile, "read the known hosts: %w", err)
	}
	return k, nil
}

// look asks the files.
func (k *hostKeys) look(remote net.Addr, key gossh.PublicKey) error {
	if k.check == nil {
		return &knownhosts.KeyError{}
	}
	return k.check(k.host.keyAddress(), remote, key)
}

// algorithms are those of the keys that are known of the host, so that it is
// asked for one of them and not for another one that it has too; nil where none
// is known.
func (k *hostKeys) algorithms() []string {
	probe, err := gossh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var unknown *knownhosts.KeyError
	if !errors.As(k.look(&net.TCPAddr{IP: net.IPv4zero}, probe), &unknown) {
		return nil
	}
	var out []string
	for _, want := range unknown.Want {
		names := []string{want.Key.Type()}
		if names[0] == gossh.KeyAlgoRSA {
			names = []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
		}
		for _, name := range names {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// verify is the callback of a connection. Its errors come back wrapped.
func (k *hostKeys) verify(_ string, remote net.Addr, key gossh.PublicKey) error {
	err := k.look(remote, key)
	var known *knownhosts.KeyError
	if err == nil || !errors.As(err, &known) {
		var revoked *knownhosts.RevokedError
		if errors.As(err, &revoked) {
			return errs.New(errs.Auth, "the key of %s is revoked in %s", k.host.alias, revoked.Revoked.Filename)
		}
		return err
	}
	print := fmt.Sprintf("%s %s", strings.TrimPrefix(key.Type(), "ssh-"), gossh.FingerprintSHA256(key))
	if len(known.Want) > 0 {
		w := known.Want[0]
		return errs.Hint(errs.New(errs.Auth, "host %s has another key than the one in %s:%d: somebody may sit between, or the server was set up anew. It now has %s",
			k.host.alias, w.Filename, w.Line, print),
			"ask who runs the server; if the key is right: ssh-keygen -R '%s'", knownhosts.Normalize(k.host.keyAddress()))
	}
	switch k.host.strict {
	case "no", "off":
		return nil
	case "accept-new":
		return k.add(key)
	}
	scan := "ssh-keyscan "
	if k.host.port != 22 {
		scan += "-p " + strconv.Itoa(k.host.port) + " "
	}
	return errs.Hint(errs.New(errs.Auth, "host %s is not known: its key is %s", k.host.alias, print),
		"compare that key with what the server's owner says, then: %s%s >> %s", scan, k.host.name, k.host.known[0])
}

// add appends the key of a new host, as `StrictHostKeyChecking accept-new` asks.
func (k *hostKeys) add(key gossh.PublicKey) error {
	f, err := os.OpenFile(k.host.known[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("add the key of %s: %w", k.host.alias, err)
	}
	_, err = fmt.Fprintln(f, knownhosts.Line([]string{knownhosts.Normalize(k.host.keyAddress())}, key))
	return errors.Join(err, f.Close())
}
