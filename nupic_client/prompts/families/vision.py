"""Families whose models see: images stand in the prompt as a few tokens of the family's own."""

from __future__ import annotations

from dataclasses import replace

from nupic_client.prompts.families.chatml import QWEN_2

__all__ = ["FAMILIES"]

QWEN_2_VL = replace(
    QWEN_2,
    name="qwen2-vl",
    reference_model="Qwen/Qwen2-VL-7B-Instruct",
    source="huggingface/transformers:tests/models/qwen2_vl/test_processing_qwen2_vl.py",
    description="images in user messages; a default system prompt, which an empty one suppresses",
    markers=(*QWEN_2.markers, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    image="<|vision_start|><|image_pad|><|vision_end|>",
    tools=None,
    aliases=("qwen2.5-vl", "qwen-vl", "qwen2vl"),
)

FAMILIES = (QWEN_2_VL,)
