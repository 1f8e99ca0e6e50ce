#!/usr/bin/env bash
# make deps: what it prints is what it runs, as root, through sudo, and where it can do neither.
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

unset MAKEFLAGS MAKELEVEL MFLAGS
# A system with nothing on PATH but what make deps needs; no package is installed.
mkdir bin
for tool in make sh grep nproc env; do ln -s "$(command -v $tool)" bin; done
stub() { # NAME COMMAND
    printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}
deps() { PATH=$T_DIR/bin make -s -C "$TOP" deps; }
# ran LINE: what the line of make deps comes down to
ran() { sed -e 's/sudo //g' -e 's/env [A-Z_]*=[a-z]* //' -e 's/ && /\n/' <<<"$1"; }
line() { grep 'apt-get update' out; }

stub dpkg-query ''
stub id 'echo 1000'
check_err 2 'on another system it names the libraries' 'no Debian or Ubuntu' deps
stub apt-get 'echo "apt-get $*"'
check_err 2 'without root and sudo it says so' 'run the line above as root$' 'deps >out'
check 'and the line above is one for root' '! grep sudo out && [ "$(line | wc -l)" = 1 ]'
check_same 'which works as it is' 'ran "$(line)"' 'PATH=$T_DIR/bin sh -c "$(line)"'
check 'it names what is missing' 'grep -q "^missing: gcc .*libhdf5-dev" out && line | grep -q libhdf5-dev'

stub sudo 'echo "sudo $1"; exec "$@"'
check 'with sudo it installs' 'deps >out'
check_out 'through it' 'sudo apt-get
sudo env' 'grep "^sudo [a-z-]*$" out'
stub id 'echo 0'
check 'as root it installs' 'deps >out'
check 'without sudo' '! grep sudo out && grep -q "^apt-get install .*--no-install-recommends.* libhdf5-dev" out'
check_same 'what it printed' 'ran "$(line | head -1)"' 'grep "^apt-get" out | grep -v "&&"'
stub apt-get 'exit 100'
check_exit 2 'and fails with the package manager' 'deps'
stub dpkg-query 'while [ "$1" ]; do echo "$1 installed"; shift; done'
check_out 'where nothing is missing it says nothing' '' 'deps'
finish
