"""Operations that XLA does slowly, written so that it does them fast.

What makes a step fast on a device lies here: `convolutions` of stride 2, on a CPU by
`winograd`; bfloat16's `products`; `adam`. Each is the plain operation, to rounding, and
is tested against it. The networks and the step call them, and know no platform.
"""
