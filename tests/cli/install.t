#!/usr/bin/env bash
# make install and uninstall, with a DESTDIR that has a space in its name
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# The variables of the make that runs this test (SAN, CFLAGS ...), without its jobs.
case ${MAKEFLAGS:-} in
*' -- '*) MAKEFLAGS="-- ${MAKEFLAGS#* -- }" ;;
*) MAKEFLAGS= ;;
esac
export MAKEFLAGS
unset MAKELEVEL MFLAGS
root="$T_DIR/a root"
prefix=/opt/semppl
at=$root$prefix
run_make() { make -s -C "$TOP" BUILD="${BUILD#"$TOP"/}" DESTDIR="$root" PREFIX=$prefix "$@"; }
files() { find "$root" ! -type d | sort; }
programs='semppl-prep semppl-ckpt semppl-train-step semppl-embed semppl-knn semppl-eval'

check 'make install' 'run_make install'
for p in $programs; do
    check "$p and its manual page" \
        '[ -x "$at/bin/$p" ] && [ "$(stat -c %a "$at/bin/$p")" = 755 ] && [ -s "$at/share/man/man1/$p.1" ]'
    check "completions of $p" '[ -s "$at/share/bash-completion/completions/$p" ] &&
        [ -s "$at/share/zsh/site-functions/_$p" ] && [ -s "$at/share/fish/vendor_completions.d/$p.fish" ]'
done
check 'all manual pages' '[ "$(find "$at/share/man" -type f | wc -l)" = "$(find "$TOP"/man -name "*.[1-9]" | wc -l)" ]'
check 'pages are in their sections' \
    'for f in "$at"/share/man/man?/*; do d=${f%/*}; [ "${f##*.}" = "${d##*man}" ] || exit 1; done'
check 'files are readable by all' '[ -z "$(find "$at/share" -type f ! -perm 644)" ]'
plugin=lib/semppl/libsemppl-cuda.so
if [ -e "$BUILD/${plugin##*/}" ]; then
    check 'the plugin' 'cmp "$BUILD/${plugin##*/}" "$at/$plugin"'
else
    check 'no plugin' '[ ! -e "$at/$plugin" ]'
fi
check 'nothing lies elsewhere' '[ -z "$(files | grep -v -e "^$at/\(bin\|share\)/" -e "^$at/$plugin\$")" ]'

# Away from the source tree, with nothing of it on PATH.
PATH=$at/bin:/usr/bin:/bin
check 'an installed program is the one that runs' '[ "$(command -v semppl-ckpt)" = "$at/bin/semppl-ckpt" ]'
check 'it makes a checkpoint in another folder' \
    'mkdir away && cd away && semppl-ckpt new --preset cifar --width 0.125 -o 0.h5 && [ -s 0.h5 ]; r=$?; cd ..; (exit $r)'
check 'and shows it' 'semppl-ckpt show away/0.h5'

files >first
check 'installing again' 'run_make install'
check_same 'gives the same files' 'cat first' 'files'
touch "$at/bin/other"
check 'make uninstall' 'run_make uninstall'
check_out 'leaves nothing but what is not ours' "$at/bin/other" 'files'
finish
