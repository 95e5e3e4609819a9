"""ONNX networks of one image size, made to take any."""

import onnx

from nasfas_jax.errors import InputError


def any_size(content: bytes) -> bytes:
    """A fully convolutional network whose input takes any height and width.

    Args:
      content: ONNX model with one input [1, 3, H, W], whose shape is not used inside.

    Raises:
      InputError: no ONNX model, or another input.
    """
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's DecodeError, by an optional package
        raise InputError(f"The face detector is no ONNX model: {error}.") from None
    inputs = model.graph.input
    shape = inputs[0].type.tensor_type.shape.dim if inputs else ()
    if len(inputs) != 1 or len(shape) != 4 or shape[1].dim_value != 3:
        raise InputError("The face detector has no input [1, 3, H, W].")
    for axis, name in ((2, "height"), (3, "width")):
        shape[axis].dim_param = name
    for output in model.graph.output:
        for size in output.type.tensor_type.shape.dim:
            size.Clear()
    del model.graph.value_info[:]
    return model.SerializeToString()
