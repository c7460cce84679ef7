#!/bin/bash
# What the TIPC scripts share: reading "key:value" lines and noting how a command ended.

func_parser_key() { printf '%s' "${1%%:*}"; }

func_parser_value() { printf '%s' "${1#*:}"; }

# The value for one mode, as in "--steps:lite_train_lite_infer=20|whole_train_whole_infer=200".
func_parser_params() {
    local option
    while IFS= read -r option; do
        case "$option" in
            "$2="*) printf '%s' "${option#*=}"; return ;;
            *=*) ;;
            *) printf '%s' "$option"; return ;;
        esac
    done < <(func_parser_value "$1" | tr '|' '\n')
}

# "key=value", or nothing where either is null or empty.
func_set_params() {
    if [ "$1" != null ] && [ -n "$1" ] && [ "$2" != null ] && [ -n "$2" ]; then
        printf '%s=%s' "$1" "$2"
    fi
}

# Arguments: exit status, command, log of states.
status_check() {
    if [ "$1" -eq 0 ]; then
        echo "Run successfully with command - $2!" | tee -a "$3"
    else
        echo "Run failed with command - $2!" | tee -a "$3"
        failures=$((failures + 1))
    fi
}
