"""The names of figures that every run reports, frozen: others read them."""

LINES = ("line_p2_db", "line_p4_db", "line_p8_db", "nearest_residual", "radial_corner_db")
PATTERN = ("pattern_rms_levels", "pattern_p2p_levels")  # those of the single periods depend on the model's stride
QUALITY = (
    *("loss", "psnr_db", "ssim", "phase_variance", "phase_p_value"),
    *(f"{where}_{name}" for where in ("residual", "flat") for name in PATTERN),
    *LINES,
)
ARTIFACTS = (*(f"uniform/{name}" for name in PATTERN), *(f"constant/{name}" for name in (*PATTERN, *LINES)))
TRAIN_METRICS = ("train/loss", "optim/lr", "optim/grad_norm", "speed/images_per_sec")
VAL_METRICS = (*(f"val/{name}" for name in QUALITY), *ARTIFACTS)
TEST_METRICS = tuple(f"test/{name}" for name in QUALITY)
