"""The plain operations that the fast forms are compared with."""

from jax import lax


def conv(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=dimensions
    )


def conv_transpose(x, kernel):
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")
