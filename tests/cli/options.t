#!/usr/bin/env bash
# What all programs have in common: help, version, usage errors, completions, and manual pages that name every option.
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

programs='semppl-prep semppl-ckpt semppl-train-step semppl-embed semppl-knn semppl-eval'

# not_in_synopsis PROGRAM: its options that the head of its manual page leaves out, but for those that all programs have
not_in_synopsis() {
    local head letter name
    head=$(sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/{s/\\//g;p}' "$TOP/man/$1.1" | grep -oE 'Fl [a-z0-9-]+' | sed 's/^Fl //')
    "$1" --help | sed -n 's/^  \(-\(.\), \|    \)--\([a-z0-9-]*\).*/\3 \2/p' | grep -vE '^(help|version|completion) ?' |
        while read -r name letter; do
            grep -qx -- "-$name" <<<"$head" || { [ "$letter" ] && grep -q "^[^-]*$letter" <<<"$head"; } || echo "$name"
        done
}
# verbs PROGRAM: one a line, from its help text; an empty line for a program without
verbs() {
    local v
    v=$("$1" --help | sed -n '/^verbs/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p')
    echo "$v"
}
# help_options PROGRAM [VERB]
help_options() { "$@" --help | sed -n 's/^  \(-., \|    \)--\([a-z0-9-]*\).*/\2/p'; }
all_help_options() {
    for v in $(verbs "$1") ''; do help_options "$1" ${v:+"$v"}; done | sort -u
}
# manual_options PROGRAM: what stands at the head of an item
manual_options() {
    sed -n '/^\.It Fl/{s/\\//g;p}' "$TOP/man/$1.1" | grep -oE 'Fl -[a-z0-9][a-z0-9-]*' | sed 's/^Fl -//' | sort -u
}

for p in $programs; do
    check "$p --help prints to stdout and exits 0" "$p --help >help && grep -q '^usage: $p ' help && [ ! -s .err ]"
    check "$p -h is the same" "$p -h | cmp - help"
    check "$p --version names libraries" "$p --version >v && grep -q '^HDF5: ' v && grep -q '^$p .semppl-tools. [0-9]' v"
    verb=$(verbs "$p" | head -1)
    check_err 2 "$p refuses an unknown option" "unknown option --no-such-option" "$p $verb --no-such-option"
    check "its usage error is two lines" "! $p $verb --no-such-option >one 2>two &&
        [ ! -s one ] && [ \$(wc -l <two) = 2 ] && grep -q \"^try '$p.* --help'\$\" two"
    check_err 2 "$p refuses a shell it does not know" 'bash, zsh or fish' "$p --completion tcsh"
    if [ -e "$TOP/man/$p.1" ]; then
        check_same "$p's manual page has every option, and no other" "all_help_options $p" "manual_options $p"
        [ "$(verbs "$p")" ] || check_out "and all of them in its synopsis" '' "not_in_synopsis $p"
    else
        check "$p has a manual page" false
    fi
    check "$p --completion bash is valid" "$p --completion bash >c && bash -n c && grep -q -- --version c"
    for shell in zsh fish; do
        if command -v $shell >/dev/null; then
            check "$p --completion $shell is valid" "$p --completion $shell >c && $shell -n c && grep -q version c"
        else
            check "$p --completion $shell" "$p --completion $shell | grep -q version"
        fi
    done
    check_out "what $p requires has no default" '' "$p $verb --help | grep 'required.*default'; true"
    check_exit 5 "$p notices a full disk behind standard output" "$p --help >/dev/full"
    check "$p --help | head ends quietly" "$p --help | head -1 >/dev/null && [ ! -s .err ]"
    check_exit 2 "$p without standard streams" "$p --no-such-option <&- >&- 2>&-"
done

# complete WORDS...: what bash offers for the last word
complete_words() {
    bash -c '. <("$1" --completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_$1"; echo "${COMPREPLY[*]}"' - "$@"
}
check_out 'bash completes a verb' 'new' 'complete_words semppl-ckpt n'
check_err 2 'the name of a file is not empty' '^semppl-embed: -o wants a FILE' 'semppl-embed --layer pixels -o "" x.h5'
check_out 'bash completes a choice' 'imagenet small' 'complete_words semppl-ckpt new --stem ""'
for shell in zsh fish; do
    check "$shell tells what a choice means" "semppl-ckpt --completion $shell | grep -q 'byol-40.*BYOL.*schedule of 40'"
done
check_out 'bash completes a choice behind =' 'small' 'complete_words semppl-ckpt new --stem = s'
check_out 'bash completes words of many' 'auto cpu cuda' 'complete_words semppl-knn --device ""'
check_out 'bash completes an option' '--threads' 'complete_words semppl-embed --thr'
check_out 'bash leaves operands to its own file names' '' 'complete_words semppl-embed tra'
finish
