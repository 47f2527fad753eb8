"""The generator's networks as ONNX operators. Images are [N, C, H, W], as everywhere in ONNX.

Each function adds operators to a Graph and returns the name of the value that they compute. Weights are scaled before
they are written (`ops.equalized`).

The forms of up convolutions and of the blur are the fastest of those that were measured with onnxruntime on a CPU: see
docs/onnx.md.
"""

from collections.abc import Callable, Mapping

import numpy as np

from stylegan_jax.config.network import GeneratorConfig, num_fmaps
from stylegan_jax.conversion.onnx_graph import Graph
from stylegan_jax.networks import ops
from stylegan_jax.networks.layers import DENSE_INPUT_GAIN, stage_name

_SLOPE = 0.2  # of the leaky rectifier, below zero
_UPSCALED = {'mode': 'nearest', 'coordinate_transformation_mode': 'asymmetric', 'nearest_mode': 'floor'}
_STYLE_OF_NOTHING = np.float32([1, 0])  # scale and bias


class GeneratorGraph:
    """Adds the parts of one generator to a graph."""

    def __init__(self, graph: Graph, config: GeneratorConfig, weights: Mapping[str, np.ndarray]):
        """Remembers where the parts go.

        Args:
          graph: which gets the operators.
          config: of the generator.
          weights: {name: float32 array}, with the names of `Generator.named_arrays`.
        """
        self._graph, self._config, self._weights = graph, config, weights

    def mapping(self, z: str, label: str | None) -> str:
        """Maps z [N, Z] and a label [N, K] to w [N, W]; see `networks.mapping.Mapping`."""
        graph, config, x = self._graph, self._config, z
        if label is not None:
            if not config.is_progan:
                weight = self._array('mapping/label_weight')
                label = graph.node('MatMul', label, graph.array('mapping/label/weight', weight), name='mapping/label')
            x = graph.node('Concat', x, label, name='mapping/latent', axis=1)
        if config.normalize_latents:
            x = self._pixel_norm(x, 'mapping/normalized')
        for i in range(config.mapping_layers):
            name = f'mapping/dense{i}'
            weight, bias = self._array(f'{name}/weight'), self._array(f'{name}/bias')
            weight = ops.equalized(
                weight, gain=ops.ACTIVATION_GAIN, fan_in=len(weight), lr_multiplier=config.mapping_lr_multiplier
            )
            x = self._dense(x, weight, bias * np.float32(config.mapping_lr_multiplier), name)
            x = self._rectify(x, config.mapping_nonlinearity, name)
        return x

    def truncate(self, w: str, psi: float | str) -> str:
        """Returns w_avg + psi * (w - w_avg) (Appendix B); `psi` is a number, or the name of a value."""
        graph = self._graph
        center = graph.array('w_avg', self._weights['w_avg'])
        psi = psi if isinstance(psi, str) else graph.array('psi', np.float32(psi))
        offset = graph.node('Sub', w, center, name='truncation/offset')
        scaled = graph.node('Mul', offset, psi, name='truncation/scaled')
        return graph.node('Add', scaled, center, name='w_truncated')

    def synthesis(
        self, w_of: Callable[[int], str], noise_of: Callable[[int], str] | None, stage: int, alpha: float
    ) -> str:
        """Makes 'images' [N, C, H, W]; see `networks.synthesis.Synthesis`.

        Args:
          w_of: from the number of a layer to its w [N, W].
          noise_of: from the number of a layer to its noise [1 or N, 1, h, w]; None for no noise.
          stage: the last one to run.
          alpha: weight of that stage against the one before.
        """
        graph, config = self._graph, self._config
        x, older = None, None
        for s in range(stage + 1):
            block = stage_name(config.image, s)
            names = ('conv0_up', 'conv1') if s else ('const' if config.const_input else 'dense', 'conv')
            for layer, name in enumerate(names, 2 * s):
                x = self._features(x, w_of, layer, f'{block}/{name}')
                x = self._epilogue(x, w_of, noise_of, layer, f'{block}/{name}')
            if s == stage - 1 and alpha < 1:
                older = self._to_rgb(x, f'{block}/to_rgb')
        colours = f'{block}/to_rgb'
        if older is None:
            return self._to_rgb(x, colours, 'images')
        # Only the last two stages are faded (ProGAN Figure 2).
        scales = graph.array('fade/scales', np.float32([1, 1, 2, 2]))
        older = graph.node('Resize', older, '', scales, name='fade/upscaled', **_UPSCALED)
        weights = graph.array('fade/older', np.float32(1 - alpha)), graph.array('fade/newer', np.float32(alpha))
        older = graph.node('Mul', older, weights[0], name='fade/old_part')
        newer = graph.node('Mul', self._to_rgb(x, colours), weights[1], name='fade/new_part')
        return graph.node('Add', newer, older, name='images')

    def _array(self, name):
        return self._weights[f'params/{name}']

    def _layer_array(self, name):
        return self._weights[f'params/synthesis/{name}']

    # --- The parts of a layer; `name` is that of the layer, such as '8x8/conv1'.

    def _features(self, x, w_of, layer, name):
        """Returns [N, C, h, w] with bias, from the constant, from w or from the layer before."""
        graph, config = self._graph, self._config
        height, width = config.image.stage_shape(layer // 2)
        bias, source = self._layer_array(f'{name}/bias'), name.partition('/')[2]
        if source == 'const':
            const = self._layer_array(f'{name}/const').transpose(0, 3, 1, 2)  # [1, C, h, w]: images share it
            return graph.array(name, const + bias[:, None, None])
        weight = self._layer_array(f'{name}/weight')
        if source == 'dense':
            weight = ops.equalized(weight, gain=DENSE_INPUT_GAIN, fan_in=len(weight))
            shape = graph.array(f'{name}/shape', np.int64([-1, len(bias), height, width]))
            x = self._dense(w_of(layer), weight, np.repeat(bias, height * width), f'{name}/dense')
            return graph.node('Reshape', x, shape, name=name)
        weight = ops.equalized(weight, gain=ops.ACTIVATION_GAIN, fan_in=9 * weight.shape[2])
        if source != 'conv0_up':
            return self._convolve(x, weight, bias, name)
        if min(height, width) >= config.flip_from:  # as the official fused form does
            weight = weight[::-1, ::-1]
        if not config.blur_filter:
            return self._up_convolve(x, weight, bias, name)
        return self._blur(self._up_convolve(x, weight, None, f'{name}/up'), bias, name)

    def _epilogue(self, x, w_of, noise_of, layer, name):
        """Adds noise, and applies the rectifier, the norms and the style."""
        graph, config = self._graph, self._config
        if noise_of is not None:
            strength = graph.array(f'{name}/noise_strength', self._layer_array(f'{name}/noise_strength')[:, None, None])
            noise = graph.node('Mul', noise_of(layer), strength, name=f'{name}/noise')
            x = graph.node('Add', x, noise, name=f'{name}/noisy')
        x = self._rectify(x, config.nonlinearity, name)
        if config.use_pixel_norm:
            x = self._pixel_norm(x, f'{name}/pixel_norm')
        features = num_fmaps(config, layer // 2 + 1)
        if config.use_instance_norm:
            ones = graph.array(f'ones/{features}', np.ones(features, np.float32))
            zeros = graph.array(f'zeros/{features}', np.zeros(features, np.float32))
            x = graph.node('InstanceNormalization', x, ones, zeros, name=f'{name}/normalized', epsilon=ops.EPSILON)
        if not config.use_styles:
            return x
        weight, bias = (self._layer_array(f'{name}/style/{kind}') for kind in ('weight', 'bias'))
        # The network learns scales less one.
        bias = bias + np.repeat(_STYLE_OF_NOTHING, features)
        style = self._dense(w_of(layer), ops.equalized(weight, fan_in=len(weight)), bias, f'{name}/style/dense')
        shape = graph.array(f'style/{features}', np.int64([-1, 2 * features, 1, 1]))
        style = graph.node('Reshape', style, shape, name=f'{name}/style')
        scale, shift = graph.node_with_results('Split', style, names=(f'{name}/y_s', f'{name}/y_b'), axis=1)
        x = graph.node('Mul', x, scale, name=f'{name}/scaled')
        return graph.node('Add', x, shift, name=f'{name}/styled')

    def _to_rgb(self, x, name, result=None):
        weight, bias = (self._layer_array(f'{name}/{kind}') for kind in ('weight', 'bias'))
        return self._convolve(x, ops.equalized(weight, fan_in=weight.shape[2]), bias, name, result=result)

    # --- Operators. `bias` is an array, or None for none.

    def _dense(self, x, weight, bias, name):
        weight, bias = self._graph.array(f'{name}/weight', weight), self._graph.array(f'{name}/bias', bias)
        return self._graph.node('Gemm', x, weight, bias, name=name)

    def _convolve(self, x, weight, bias, name, pads=None, group=1, result=None):
        """Convolves with [h, w, I, O]; zeros are added so that the size is kept, or as `pads` says."""
        graph, size = self._graph, weight.shape[0]
        arrays = [graph.array(f'{name}/weight', weight.transpose(3, 2, 0, 1))]
        arrays += [] if bias is None else [graph.array(f'{name}/bias', bias)]
        pads = [size // 2] * 4 if pads is None else pads
        return graph.node('Conv', x, *arrays, name=result or name, pads=pads, group=group)

    def _up_convolve(self, x, weight, bias, name):
        """Doubles the size and convolves with [3, 3, I, O].

        The result's even and odd rows and columns are four images, each a convolution of `x` with 2x2 weights: of the
        three weights of an axis two always meet the same pixel, because each pixel is there twice. That is 16
        multiplications a pixel of `x`, as in a transposed convolution of 4x4, which onnxruntime is slower at.
        """

        def halves(kernel, odd):  # [3, ...] -> [2, ...]
            first, second, third = kernel
            return np.stack([first + second, third] if odd else [first, second + third])

        parts = []
        for row in range(2):
            for column in range(2):
                kernel = halves(halves(weight, row).swapaxes(0, 1), column).swapaxes(0, 1)
                pads = [1 - row, 1 - column, row, column]  # top, left, bottom, right
                parts.append(self._convolve(x, kernel, bias, f'{name}/{row}{column}', pads))
        x = self._graph.node('Concat', *parts, name=f'{name}/parts', axis=1)
        return self._graph.node('DepthToSpace', x, name=name, blocksize=2, mode='DCR')

    def _blur(self, x, bias, name):
        """Filters each feature by itself, and adds biases, which the official network has behind the blur."""
        taps = np.float32(self._config.blur_filter)
        kernel = np.outer(taps, taps) / taps.sum() ** 2
        kernel = np.repeat(kernel[:, :, None, None], len(bias), axis=3)
        return self._convolve(x, kernel, bias, name, group=len(bias))

    def _rectify(self, x, nonlinearity, name):
        if nonlinearity == 'relu':
            return self._graph.node('Relu', x, name=f'{name}/rectified')
        return self._graph.node('LeakyRelu', x, name=f'{name}/rectified', alpha=_SLOPE)

    def _pixel_norm(self, x, name):
        """Divides by the root of the mean square over axis 1, the features (ProGAN Section 4.2)."""
        graph = self._graph
        epsilon = graph.array('epsilon', np.float32(ops.EPSILON))
        square = graph.node('Mul', x, x, name=f'{name}/square')
        mean = graph.node('ReduceMean', square, name=f'{name}/mean', axes=[1], keepdims=1)
        root = graph.node('Sqrt', graph.node('Add', mean, epsilon, name=f'{name}/sum'), name=f'{name}/root')
        return graph.node('Div', x, root, name=name)
