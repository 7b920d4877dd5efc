"""The configurations of mmsegmentation 0.30's own repository that the parity table compares, one for each part."""

CONFIGS = (
    "fcn/fcn_r50-d8_512x512_20k_voc12aug.py",
    "fcn/fcn_d6_r50b-d16_512x1024_80k_cityscapes.py",
    "pspnet/pspnet_r50-d8_512x1024_40k_cityscapes.py",
    "pspnet/pspnet_r18b-d8_512x1024_80k_cityscapes.py",
    "deeplabv3/deeplabv3_r101-d16-mg124_512x1024_80k_cityscapes.py",
    "deeplabv3plus/deeplabv3plus_r50-d8_512x1024_40k_cityscapes.py",
    "deeplabv3plus/deeplabv3plus_r18b-d8_769x769_80k_cityscapes.py",
    "upernet/upernet_r50_512x512_80k_ade20k.py",
    "hrnet/fcn_hr18s_512x512_20k_voc12aug.py",
    "ocrnet/ocrnet_hr18s_512x512_80k_ade20k.py",
    "ocrnet/ocrnet_r101-d8_512x1024_40k_b16_cityscapes.py",
    "unet/deeplabv3_unet_s5-d16_ce-1.0-dice-3.0_64x64_40k_drive.py",
    "unet/pspnet_unet_s5-d16_128x128_40k_chase_db1.py",
    "mobilenet_v2/deeplabv3plus_m-v2-d8_512x1024_80k_cityscapes.py",
    "mobilenet_v2/fcn_m-v2-d8_512x512_160k_ade20k.py",
    "sem_fpn/fpn_r50_512x1024_80k_cityscapes.py",
    "fastfcn/fastfcn_r50-d32_jpu_psp_512x1024_80k_cityscapes.py",
)
