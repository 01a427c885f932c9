"""Inverted lists: clustered and filled by distance, visited by similarity."""

from __future__ import annotations

import faiss
import numpy as np

from tt_hydra.contracts import FloatArray, Metric
from tt_hydra.index.transform import quiet

SAMPLE = 65_536
"""Vectors that transforms and codes are trained on, at most."""
SAMPLE_PER_LIST = 64
"""Vectors for each cluster that clusters are trained on, at most (or ``SAMPLE`` in all, if that is more)."""
ITERATIONS = 20


def centroids_of(sample: FloatArray, nlist: int, metric: Metric, seed: int) -> FloatArray:
    """The ``(nlist, dim)`` centroids of seeded k-means, of length one where the metric is cosine and there are several."""
    if nlist == 1:
        mean: FloatArray = sample.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return mean
    clustering = faiss.Clustering(sample.shape[1], nlist)
    clustering.niter = ITERATIONS
    clustering.seed = seed
    clustering.spherical = metric == "cosine"
    clustering.max_points_per_centroid = len(sample)
    quiet(clustering)
    clustering.train(sample, faiss.IndexFlatL2(sample.shape[1]))
    centroids: FloatArray = faiss.vector_to_array(clustering.centroids).reshape(nlist, -1)
    return centroids


def distance_quantizer(centroids: FloatArray) -> faiss.Index:
    """Assigns a vector to its nearest centroid by Euclidean distance."""
    quantizer = faiss.IndexFlatL2(centroids.shape[1])
    quantizer.add(centroids)
    return quantizer


def assign_by_similarity(index: faiss.IndexIVF, centroids: FloatArray) -> faiss.IndexIVF:
    """Makes a filled index rank its lists by inner product with the query, as its scores are."""
    quantizer = faiss.IndexFlatIP(centroids.shape[1])
    quantizer.add(centroids)
    index.quantizer = quantizer
    quantizer.this.disown()
    index.own_fields = True
    return index
