#!/bin/bash
# Trains, evaluates, exports and infers as a configuration of 51 lines says.
#
#   bash test_tipc/test_train_inference_python.sh test_tipc/configs/MODEL/train_infer_python.txt MODE
#
# MODE: lite_train_lite_infer, whole_train_whole_infer, or whole_infer (no training: the stored weights).
cd "$(dirname "$0")/.." || exit 1
source test_tipc/common_func.sh

mapfile -t lines < "$1"
mode=$2
failures=0
line() { printf '%s' "${lines[$(($1 - 1))]}"; }
value() { func_parser_value "$(line "$1")"; }
key() { func_parser_key "$(line "$1")"; }

python=$(value 3)
log=log/$(value 2)/$mode
mkdir -p "$log"
states=$log/results_python.log
: > "$states"

run() {
    local arguments=() argument
    for argument in "$@"; do
        [ -n "$argument" ] && arguments+=("$argument")
    done
    "$python" "${arguments[@]}"
    status_check $? "$python ${arguments[*]}" "$states"
}

if [ "$mode" = whole_infer ]; then
    weights=$(value 37)
else
    weights=$log/norm_train/$(value 11)
    run "$(value 16)" "$(func_set_params "$(key 5)" "$(value 5)")" "$(func_set_params "$(key 8)" "$log/norm_train")" \
        "$(func_set_params "$(key 7)" "$(func_parser_params "$(line 7)" "$mode")")"
    run "$(value 24)" "$(func_set_params "$(key 10)" "$weights")" "--out=$log/eval"
fi
run "$(value 30)" "$(func_set_params "$(key 29)" "$weights")" "$(func_set_params "$(key 28)" "$log/exported")"
run "$(value 40)" "$(func_set_params "$(key 41)" "$(value 41)")" "$(func_set_params "$(key 47)" "$log/exported")" \
    "--out=$log/infer"
exit "$failures"
