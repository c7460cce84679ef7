"""PaddleClas' backbones with timm's of the same paper: file and function there, name here, side of the pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """``file`` below ``ppcls/arch/backbone``; ``side`` in pixels."""

    file: str
    backbone: str
    timm: str
    side: int = 64


PAIRS = {
    pair.backbone: pair
    for pair in (
        Pair("legendary_models.swin_transformer", "SwinTransformer_tiny_patch4_window7_224",
             "swin_tiny_patch4_window7_224", 224),
        Pair("model_zoo.swin_transformer_v2", "SwinTransformerV2_tiny_patch4_window8_256",
             "swinv2_tiny_window8_256", 256),
        Pair("model_zoo.mobilevit", "MobileViT_XXS", "mobilevit_xxs", 128),
        Pair("model_zoo.ghostnet", "GhostNet_x1_0", "ghostnet_100"),
        Pair("model_zoo.mobilevit_v2", "MobileViTV2_x0_5", "mobilevitv2_050", 128),
        Pair("model_zoo.pvt_v2", "PVT_V2_B0", "pvt_v2_b0", 224),
        Pair("model_zoo.rexnet", "ReXNet_1_0", "rexnet_100"),
        Pair("model_zoo.dla", "DLA34", "dla34"),
        Pair("model_zoo.res2net", "Res2Net50_26w_4s", "res2net50_26w_4s"),
        Pair("model_zoo.levit", "LeViT_128S", "levit_128s", 224),
        Pair("model_zoo.tinynet", "TinyNet_E", "tinynet_e"),
        Pair("model_zoo.repvgg", "RepVGG_A0", "repvgg_a0"),
        Pair("model_zoo.fasternet", "FasterNet_T0", "fasternet_t0"),
        Pair("model_zoo.starnet", "StarNet_S1", "starnet_s1"),
        Pair("model_zoo.cspnet", "CSPDarkNet53", "cspdarknet53"),
        Pair("model_zoo.regnet", "RegNetX_200MF", "regnetx_002"),
        Pair("model_zoo.mixnet", "MixNet_S", "mixnet_s"),
        Pair("model_zoo.efficientnet", "EfficientNetB0", "tf_efficientnet_b0"),
        Pair("model_zoo.distilled_vision_transformer", "DeiT_tiny_patch16_224", "deit_tiny_patch16_224", 224),
        Pair("legendary_models.mobilenet_v4", "MobileNetV4_conv_small", "mobilenetv4_conv_small"),
        Pair("legendary_models.resnet", "ResNet50_vd", "resnet50d"),
        Pair("legendary_models.pp_hgnet_v2", "PPHGNetV2_B0", "hgnetv2_b0"),
        Pair("model_zoo.twins", "alt_gvt_small", "twins_svt_small", 224),
        Pair("model_zoo.convnext", "ConvNeXt_tiny", "convnext_tiny"),
    )
}  # fmt: skip
