"""Linear maps that stand before an index, all with orthonormal rows so that inner products survive them."""

from __future__ import annotations

import faiss
import numpy as np

from tt_hydra.contracts import FloatArray
from tt_hydra.index.threads import codebook_training

FIRST_CODEBOOKS = 10
"""Rounds of k-means before the rotation is learnt; each round of the rotation adds four."""


def projection(sample: FloatArray, dim: int) -> faiss.VectorTransform:
    """The leading ``dim`` right singular vectors of ``sample (rows, width)``, not centred."""
    second_moment = sample.astype(np.float64).T @ sample.astype(np.float64)
    _, vectors = np.linalg.eigh(second_moment)
    leading = np.ascontiguousarray(vectors[:, ::-1][:, :dim].T, dtype=np.float32)
    transform = faiss.LinearTransform(sample.shape[1], dim, False)
    faiss.copy_array_to_vector(leading.ravel(), transform.A)
    transform.is_trained = True
    transform.set_is_orthonormal()
    return transform


def rotated_projection(sample: FloatArray, dim: int, seed: int) -> faiss.VectorTransform:
    """``projection``, and then a random rotation of the dimensions that are kept."""
    transform = projection(sample, dim)
    leading = faiss.vector_to_array(transform.A).reshape(dim, -1).astype(np.float64)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    faiss.copy_array_to_vector((rotation @ leading).astype(np.float32).ravel(), transform.A)
    return transform


def product_rotation(sample: FloatArray, m: int, bits: int, iterations: int) -> faiss.VectorTransform:
    """The rotation that suits product quantization in ``m`` pieces; the width grows to the next multiple of ``m``."""
    width = sample.shape[1]
    rotation = faiss.OPQMatrix(width, m, -(-width // m) * m)
    rotation.niter = iterations
    train_rotation(rotation, sample, bits)
    return rotation


def train_rotation(rotation: faiss.OPQMatrix, sample: FloatArray, bits: int) -> None:
    """Trains a rotation for codes of ``bits`` bits.

    Rows are repeated where there are fewer than dimensions: FAISS writes past its buffers there and the process dies.
    """
    wide = max(rotation.d_in, rotation.d_out)
    sample = np.tile(sample, (-(-wide // len(sample)), 1)) if len(sample) < wide else sample
    quantizer = faiss.ProductQuantizer(rotation.d_out, rotation.M, bits)
    quiet(quantizer.cp)
    rotation.pq = quantizer
    rotation.niter_pq_0 = FIRST_CODEBOOKS
    with codebook_training():
        rotation.train(sample)
    rotation.pq = None


def random_rotation(width: int, seed: int) -> faiss.VectorTransform:
    """A random rotation."""
    rotation = faiss.RandomRotationMatrix(width, width)
    rotation.init(seed)
    return rotation


def quiet(parameters: faiss.ClusteringParameters) -> None:
    """Keeps FAISS from warning about few training points on stderr: ``check`` says it in the log."""
    parameters.min_points_per_centroid = 1
