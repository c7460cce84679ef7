"""What becomes of each argument of Paddle's functions and optimizers: it is tried as a cause, it is a tensor, it cannot
matter, or it is not tried. ``tests/align/test_arguments.py`` holds the list complete.

An argument is tried where ``settings.NAMES`` or ``optimizers.NAMES`` knows it: the two sides' values are compared, and
where the call has a kernel in numpy it is run again with the other value.
"""

from __future__ import annotations

TENSORS = frozenset({
    "x", "y", "x1", "x2", "input", "other", "label", "labels", "weight", "bias", "logit", "logits", "log_probs",
    "input_lengths", "label_lengths", "head_weight", "tail_weights", "head_bias", "theta", "grid", "running_mean",
    "running_var", "pos_weight", "input1", "input2", "query", "key", "value", "qkv", "qv", "attn_mask",
    "key_padding_mask", "cu_seqlens_q", "cu_seqlens_k", "seqused_q", "seqused_k", "startend_row_indices", "block_mask",
    "indices", "ids", "parents", "variance",
    "path_table", "path_code", "prior_dist", "anchor", "positive", "negative",
    "random_u", "normalizer", "sparse_csr_offset", "sparse_csr_columns", "hidden_states", "expert_routemap_topk",
    "expert_prob_topk", "hidden_states_unzipped", "zipped_expertwise_rowmap", "token_prob_unzipped", "q_descale",
    "k_descale", "v_descale", "parameters",
})  # fmt: skip
"""Arguments that are tensors: they are compared as the call's inputs."""
NO_EFFECT = frozenset({
    "name", "inplace", "out", "backend", "rng_name", "fixed_seed_offset", "return_softmax", "return_softmax_lse",
    "return_seed_offset", "return_mask", "return_expert_indices", "sparse", "is_sparse", "numeric_stable_mode", "group",
    "num_splits", "pack_gqa", "sm_margin", "override_buffer_size", "enable_math", "enable_flash",
    "enable_mem_efficient", "recompute_scale_factor", "use_multi_tensor", "multi_precision", "lazy_mode",
    "max_seqlen_q", "max_seqlen_k", "use_lowprecision_moment", "using_ue8m0_scale", "using_mix_precision", "do_gather",
})  # fmt: skip
"""Arguments that change no result in float64, or only what else is returned."""
SEEN_OTHERWISE = {
    "pad": "padding, read off what was put before and after the input",
    "out_shape": "the shape of the output", "output_sizes": "the shape of the output",
    "num_classes": "the shape of the output", "maxlen": "the shape of the output", "keepdim": "the shape of the output",
    "use_global_stats": "whether the batch's statistics are used", "use_input_stats": "the statistics are a layer's",
    "pad_from_left_axis": "padding, read off what was put before and after the input",
    "dtype": "the element type of the output, and what a narrower one rounds",
    "learning_rate": "the learning_rate stage", "grad_clip": "gradient_clipping, read off the steps",
    "weight_decay": "steps with zero gradients", "lamb_weight_decay": "steps with zero gradients",
    "apply_decay_param_fun": "steps with zero gradients", "exclude_from_weight_decay_fn": "steps with zero gradients",
    "lr_ratio": "the rates of groups",
}  # fmt: skip
"""Arguments whose effect is looked at in another way than by their value."""
NOT_TRIED = frozenset({
    # of functions
    "data_format", "dim1", "dim2", "cutoffs", "num_samples", "scale_grad_by_freq", "window_size",
    "softcap",
    "varlen_padded", "enable_gqa",
    "k", "margin1", "margin2", "margin3", "num_experts", "tokens_per_expert",
    "padding_alignment", "total_zipped_tokens", "using_weighted_combine", "l2_reg", "fastemit_lambda", "seg_num",
    "distance_function",
    # of optimizers
    "batch_num", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size", "line_search_fn",
    "always_adapt", "rescale_grad",
})  # fmt: skip
"""Arguments that no hypothesis tries: a difference in them is found and placed, and its cause is ``unknown``."""
