"""Hand-crafted features with a support vector machine: the first rows of RFMeta Table 1.

Three descriptions of a face and one of a clip, each one vector:

* ``ms_lbp``, 833: Määttä, Hadid, Pietikäinen, "Face spoofing detection from single images
  using micro-texture analysis", IJCB 2011.
* ``color_texture``, 354: Boulkenafet, Komulainen, Hadid, "Face spoofing detection using
  colour texture analysis", TIFS 2016; the LBP descriptor among those it compares.
* ``ida``, 121: Wen, Han, Jain, "Face spoof detection with image distortion analysis",
  TIFS 2015.
* ``lbp_top``, 177: de Freitas Pereira, Anjos, De Martino, Marcel, "LBP-TOP based
  countermeasure against face spoofing attacks", ACCV Workshops 2012.

The papers align faces by the eyes (64 x 64; IDA 144 x 120). Here a face is the square crop
that all other methods use, resized to 64 x 64 and to 144 x 144. Other details that a paper
leaves open, or that differ here, are documented at the function. The classifier is the same
for all of them: features normalized to mean 0 and variance 1 over the training faces, then an
SVM with a Gaussian kernel, cost 1 and gamma 1 / (number of features); the papers choose both
by cross-validation or do not state them, and IDA trains one SVM per attack type.

Needs the extra ``baselines`` (scikit-image, scikit-learn); no accelerator.
"""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import spatial
from skimage import color, feature, filters, measure, transform
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class HandCrafted:
    """A feature extractor and, after `fit`, its classifier.

    Attributes:
      name: a key of `FEATURES` or `CLIP_FEATURES`.
      weights: arrays of the classifier, float64: ``mean`` and ``scale`` [D] of the
        features, ``support_vectors`` [V, D], ``coefficients`` [V] and ``intercept`` [1];
        None before `fit`.
    """

    name: str
    weights: Mapping[str, np.ndarray] | None = None

    def __post_init__(self):
        if (names := {**FEATURES, **CLIP_FEATURES}).keys().isdisjoint({self.name}):
            raise InputError(
                f"name: expected one of {', '.join(names)}, got {self.name!r}. "
                "Correct the name."
            )

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features [N, D] of faces [N, S, S, 3], uint8 RGB.

        Those of `CLIP_FEATURES` take the faces of clips, [N, T, S, S, 3] with T of 3 or more.

        Raises:
          InputError: another shape or type, or no face.
        """
        expected, extract = "faces [N, S, S, 3]", FEATURES.get(self.name)
        clips = () if extract else (3,)
        if extract is None:
            expected, extract = "clips [N, T, S, S, 3]", CLIP_FEATURES[self.name]
        least = (1, *clips, 1, 1, 3)
        good = images.ndim == len(least) and images.shape[-1] == 3
        good = good and all(n >= m for n, m in zip(images.shape, least, strict=True))
        if images.dtype != np.uint8 or not good or images.shape[-3] != images.shape[-2]:
            condition = "N >= 1 and T >= 3" if clips else "N >= 1"
            raise InputError(
                f"images: expected {expected} of type uint8 with {condition}, got "
                f"{list(images.shape)} of type {images.dtype}. Pass the RGB crops as "
                "they are, without scaling or a second color space."
            )
        return np.stack([extract(image) for image in images])

    def fit(self, images: np.ndarray, labels: ArrayLike) -> "HandCrafted":
        """A copy with a classifier trained on faces or clips (1 = live, 0 = spoof).

        Raises:
          InputError: images as in `features`, or labels that do not match them.
        """
        labels = np.asarray(labels)
        if labels.shape != (len(images),) or set(np.unique(labels)) != {0, 1}:
            raise InputError(
                f"labels: expected {len(images)} numbers, 1 for live and 0 for spoof "
                f"and some of both, got shape {list(labels.shape)} with the values "
                f"{np.unique(labels)[:5].tolist()}. Give one label for each image."
            )
        scaler, svm = StandardScaler(), SVC(gamma="auto")
        svm.fit(scaler.fit_transform(self.features(images)), labels)
        weights = {
            "mean": scaler.mean_,
            "scale": scaler.scale_,
            "support_vectors": svm.support_vectors_,
            "coefficients": svm.dual_coef_[0],
            "intercept": svm.intercept_,
        }
        return dataclasses.replace(self, weights=weights)

    def score(self, images: np.ndarray) -> np.ndarray:
        """Scores [N] of faces or clips: the SVM's decision function.

        A higher score means live; 0 is the boundary.

        Raises:
          InputError: not fitted, or images as in `features`.
        """
        if self.weights is None:
            raise InputError(
                f"{self.name}: expected a fitted classifier, got none. Score with what "
                "`fit` returns; it does not change the object that it is called on."
            )
        w = self.weights
        x = (self.features(images) - w["mean"]) / w["scale"]
        distance = spatial.distance.cdist(x, w["support_vectors"], "sqeuclidean")
        gamma = 1 / x.shape[1]
        return np.exp(-gamma * distance) @ w["coefficients"] + w["intercept"]


def ms_lbp(image: np.ndarray) -> np.ndarray:
    """Micro-texture features [833] of a face [S, S, 3], at two radii (Määttä 2011).

    LBP(8, 1) of the 64 x 64 gray face, 62 x 62 codes, in 3 x 3 blocks of 30 x 30 that
    overlap by 14 (9 x 59 bins), then LBP(8, 2) and LBP(16, 2) of the whole (59 + 243).
    Invariant under gray -> a gray + b (a > 0). Open in the paper: the weights of gray
    (here Rec. 709) and the scale of the histograms (here each sums to 1).
    """
    gray = _gray(_resize(image, 64))
    fine = lbp(gray, 8, 1)
    corners = itertools.product((0, 16, 32), repeat=2)
    blocks = [fine[y : y + 30, x : x + 30] for y, x in corners]
    histograms = [lbp_histogram(block, 8) for block in blocks]
    histograms += [lbp_histogram(lbp(gray, points, 2), points) for points in (8, 16)]
    return np.concatenate(histograms)


def color_texture(image: np.ndarray) -> np.ndarray:
    """Uniform LBP(8, 1) of H, S, V, Y, Cb, Cr, [354] of a face [S, S, 3] (6 x 59 bins).

    Each histogram covers the whole 64 x 64 channel and sums to 1. Open in the paper: the
    coding of the channels. Here all are uint8: H, S and V from 0 to 255 (hue as a number,
    with its jump at red), YCbCr as in ITU-R BT.601 (16 to 235 and 16 to 240).
    """
    face = _resize(image, 64)
    channels = np.concatenate([255 * color.rgb2hsv(face), color.rgb2ycbcr(face)], -1)
    planes = np.moveaxis(np.rint(channels).astype(np.uint8), -1, 0)
    return np.concatenate([lbp_histogram(lbp(plane, 8, 1), 8) for plane in planes])


def lbp_top(clip: np.ndarray) -> np.ndarray:
    """LBP on three orthogonal planes, [177], of the faces of a clip [T, S, S, 3].

    Histograms of uniform LBP(8, 1), each summing to 1: of the planes of two directions of
    space (XY), of rows and time (XT) and of columns and time (YT), over all planes that have
    neighbors on both sides. Faces are gray, 64 x 64. The radius in time is 1 frame, as
    in the paper's first setting.
    """
    volume = np.stack([_gray(_resize(face, 64)) for face in clip])
    parts = []
    for axis in range(3):
        planes = np.moveaxis(volume, axis, 0)[1:-1]
        codes = np.stack([lbp(np.ascontiguousarray(plane), 8, 1) for plane in planes])
        parts.append(lbp_histogram(codes, 8))
    return np.concatenate(parts)


def lbp(gray: np.ndarray, points: int, radius: int) -> np.ndarray:
    """Codes [h - 2 R, w - 2 R] of uniform local binary patterns, for uint8 [h, w].

    Bit p is set where the sample at angle 2 pi p / P on the circle, interpolated
    bilinearly, is no darker than the center. Each of the P (P - 1) + 2 patterns with at
    most two changes around the circle has a code; all others share the last (Ojala,
    Pietikäinen, Mäenpää, TPAMI 2002; Ahonen, Hadid, Pietikäinen, ECCV 2004).
    """
    codes = feature.local_binary_pattern(gray, points, radius, "nri_uniform")
    return codes[radius:-radius, radius:-radius].astype(np.int64)


def lbp_histogram(codes: np.ndarray, points: int) -> np.ndarray:
    """[P (P - 1) + 3] shares of the codes of `lbp`: 59 for 8 points, 243 for 16."""
    return np.bincount(codes.ravel(), minlength=points * (points - 1) + 3) / codes.size


def ida(image: np.ndarray) -> np.ndarray:
    """Features [121] of IDA, for a face [S, S, 3]: specular 3, blur 2, color 15 and 101."""
    face = _resize(image, 144)
    return np.concatenate(
        [specular(face), blurriness(face), chromatic(face), diversity(face)]
    )


#: Pixels with a smaller R + G + B, or closer to gray, have no usable hue.
DARK, GRAY = 45, 15
#: Largest difference of hue between neighbors on one surface; see `specular_part`.
SAME_HUE = 0.02
#: Distance in pixels over which the largest chromaticity of a surface is propagated.
REACH = 10


def specular_part(image: np.ndarray) -> np.ndarray:
    """Specular reflection [h, w] of an image [h, w, 3], equal in all channels.

    After Tan and Ikeuchi (TPAMI 2005), as in Wen et al. Let s = R + G + B and
    c = 3 max(R, G, B) - s. A highlight adds the same to R, G and B: it leaves c as it is
    and lowers the chromaticity, c / s. On a surface of one hue the largest c / s is that of
    the body color, k; then the diffuse part has the sum c / k, and the specular part is
    (s - c / k) / 3. Their test of neighbors, by differences of log s - log c, picks the
    neighbor with the larger c / s as the less specular; they repeat it with a
    decreasing threshold until convergence. Here k is propagated `REACH` times to the four
    neighbors of equal hue: farther, it would cross blurred borders to other surfaces. Gray
    and dark pixels have no hue and count as diffuse.
    """
    pixels = image.astype(np.float64)
    total, top = pixels.sum(-1), pixels.max(-1)
    chroma = 3 * top - total
    usable = (total >= DARK) & (chroma >= GRAY)
    # Free of the specular part: R, G, B less what makes the largest a half of the sum.
    free = pixels - (total - 2 * chroma)[..., None] / 3
    hue = free / np.where(usable, 2 * chroma, 1)[..., None]
    body = np.where(usable, chroma / np.where(usable, total, 1), 0)
    pairs = [
        (np.abs(np.diff(hue, axis=axis)).max(-1) < SAME_HUE)
        & (_ahead(usable, axis) & _behind(usable, axis))
        for axis in (0, 1)
    ]
    for _ in range(REACH):
        spread = body.copy()
        for axis, same in enumerate(pairs):
            for here, there in ((_ahead, _behind), (_behind, _ahead)):
                target = here(spread, axis)
                np.maximum(target, there(body, axis), out=target, where=same)
        body = spread
    return np.where(usable, (total - chroma / np.where(usable, body, 1)) / 3, 0)


def specular(face: np.ndarray) -> np.ndarray:
    """Share of specular pixels, mean and deviation of their intensity, [3].

    A pixel is specular if its `specular_part` is between 1.5 and 4 times the mean, which
    excludes the brightest (Wen 2015, sec. III-A). Intensities from 0 to 1; zeros if no pixel
    is specular. The paper states the variance; its authors' code has the deviation.
    """
    part = specular_part(face) / 255
    chosen = part[(part > 1.5 * part.mean()) & (part < 4 * part.mean())]
    if not chosen.size:
        return np.zeros(3)
    return np.array([chosen.size / part.size, chosen.mean(), chosen.std()])


def blurriness(face: np.ndarray) -> np.ndarray:
    """Blurriness [2], from 0 (sharp) to 1: effect of blurring, edge width (sec. III-B).

    The first is Crete et al. (SPIE 2007) with a filter of 9; the second Marziliano et al.
    (ICIP 2002): mean over vertical edges of the distance along the row from the darkest to
    the brightest pixel, as a share of the row. Open in the papers: the definition of an
    edge; here a local maximum of the slope along the row (Sobel) of at least twice the root
    mean square. 1 for a face without edges.
    """
    gray = _gray(face)
    return np.array([measure.blur_effect(gray, h_size=9), edge_width(gray)])


def edge_width(gray: np.ndarray) -> float:
    """Mean length of the rise or fall through each vertical edge, over the width."""
    slope = filters.sobel_v(gray.astype(np.float64))
    steep = np.abs(slope)
    inner = steep[:, 1:-1]
    edge = (inner >= steep[:, :-2]) & (inner > steep[:, 2:])
    edge &= inner >= 2 * np.sqrt(np.mean(slope**2))
    rows, columns = np.nonzero(edge)
    if not rows.size:
        return 1.0
    columns += 1
    change = np.sign(np.diff(gray.astype(np.int64), axis=1))
    widths = np.zeros(len(rows))
    for sign in (-1, 1):
        runs = change == sign
        width = _run_before(runs)[rows, columns]
        width += _run_before(runs[:, ::-1])[:, ::-1][rows, columns]
        widths += np.where(np.sign(slope[rows, columns]) == sign, width, 0)
    return float(widths.mean() / gray.shape[1])


def _run_before(runs: np.ndarray) -> np.ndarray:
    """Number of consecutive true values of ``runs`` [h, w] before each gap, [h, w + 1]."""
    lengths = np.zeros((runs.shape[0], runs.shape[1] + 1))
    for x in range(runs.shape[1]):
        lengths[:, x + 1] = (lengths[:, x] + 1) * runs[:, x]
    return lengths


def chromatic(face: np.ndarray) -> np.ndarray:
    """Mean, deviation, skewness and shares of both end bins of H, S and V, [15].

    Wen 2015, sec. III-C, which leaves open the bins (here tenths of the range) and where
    hue begins: here opposite to red, since hues of skin would otherwise be at both ends (the
    authors' code shifts it too). The skewness is E((x - mean)^3) / deviation^3, and 0 for a
    constant.
    """
    hsv = color.rgb2hsv(face).reshape(-1, 3)
    hsv[:, 0] = (hsv[:, 0] + 0.5) % 1
    mean, deviation = hsv.mean(0), hsv.std(0)
    constant = deviation < 1e-9  # rounding error
    scaled = (hsv - mean) / np.where(constant, 1, deviation)
    skewness = np.where(constant, 0, (scaled**3).mean(0))
    ends = (hsv < 0.1).mean(0), (hsv >= 0.9).mean(0)
    return np.stack([mean, deviation, skewness, *ends], axis=1).ravel()


def diversity(face: np.ndarray) -> np.ndarray:
    """Shares of the 100 most frequent colors, decreasing, and number of colors, [101].

    Colors are counted in 32 steps each of R, G and B (Wen 2015, sec. III-D).
    """
    steps = (face // 8).reshape(-1, 3).astype(np.int64)
    counts = np.bincount(steps @ [1024, 32, 1], minlength=32**3)
    largest = np.sort(counts)[:-101:-1] / len(steps)
    return np.append(largest, np.count_nonzero(counts))


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    """Image resized to [side, side, 3] uint8, with antialiasing."""
    if image.shape[:2] == (side, side):
        return image
    resized = transform.resize(
        image, (side, side), preserve_range=True, anti_aliasing=True
    )
    return np.rint(resized).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.rint(255 * color.rgb2gray(image)).astype(np.uint8)


def _ahead(array: np.ndarray, axis: int) -> np.ndarray:
    """A view without the first row (axis 0) or column."""
    return array[1:] if axis == 0 else array[:, 1:]


def _behind(array: np.ndarray, axis: int) -> np.ndarray:
    """A view without the last row (axis 0) or column."""
    return array[:-1] if axis == 0 else array[:, :-1]


#: Feature extractors by name, functions of one face [S, S, 3], uint8 RGB.
FEATURES = {"ms_lbp": ms_lbp, "color_texture": color_texture, "ida": ida}
#: Those of a clip, functions of its faces [T, S, S, 3], uint8 RGB.
CLIP_FEATURES = {"lbp_top": lbp_top}
