"""What views are called where people read of them: on the page of metrics, in reasons."""

SETS = {
    "test": "{held_out} images",
    "train": "training images",
    "samples": "decoded prior draws",
    "density_samples": "decoded draws of the density fitted to the codes",
    "reconstructions": "reconstructions of {held_out} images",
    "prior": "prior draws",
    "density": "draws of the density fitted to the codes",
    "interpolated": "decoded midpoints of codes of {held_out} images",
    "mixture": "decoded draws of a mixture fitted to codes of training images",
}
PARTS = {  # of a set of images, by how a view's name goes on
    "codes": "codes of {}",
    "factors": "factors of variation of {}",
    "images": "{}",
    "errors.draw": "reconstruction errors of {}, one noise draw",
    "errors.mean": "reconstruction errors of {}, mean code",
    "entropy": "the least cross-entropy that {} allow",
    "features": "{network} features of {}",
    "gaussian": "Gaussian fitted to {network} features of {}",
    "halves": "Fréchet distance between two halves of {network} features of {}",
    "precision_recall": "{network} features of {} among those of {held_out} images",
    "nearest": "distances of {} to the nearest training image",
    "sharpness": "sharpness of {}",
    "log_prior": "log p(z) at codes of {}",
    "log_prior.bound": "bound of log p(z) at codes of {}",
    "log_prior.weighted": "importance samples of log p(z) at codes of {}",
    "log_prior.lower": "log p(z), or its bound, at codes of {}",
    "log_likelihood": "log p(x|z) of {}",
    "log_weights": "importance weights of {}",
    "mixture": "aggregate posterior of {}",
    "mws": "minibatch weighted estimate of the aggregate posterior of {}",
    "mss": "minibatch stratified estimate of the aggregate posterior of {}",
    "copies": "places of {} among the training images",
    "cells": "cells of {}",
    "infomec": "information of codes of {} on their factors",
    "dci": "forests that predict the factors of {} from codes",
}
WHOLE = {
    "prior": "the prior",
    "density": "the density fitted to the codes",
    "channel": "the encoder's noise and variance target",
    "baselines": "mean image and PCA of the dataset",
}


def name_of_view(view: str, held_out: str = "test") -> str:
    """A view as a reader knows it; its name where nothing is known of it, as of a plugin's.

    held_out: what images of the split are called that is held out.
    """
    of, _, part = view.partition(".")
    kind, _, network = part.partition(".")
    if view in WHOLE:
        return WHOLE[view]
    found = PARTS.get(kind if kind in ("features", "gaussian", "halves", "precision_recall") else part)
    if of not in SETS or found is None:
        return view
    return found.format(SETS[of].format(held_out=held_out), network="pixel" if network == "pixels" else network, held_out=held_out)
