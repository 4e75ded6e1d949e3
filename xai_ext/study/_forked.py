"""What the process imports that workers are forked from; nobody else imports this module."""

import atexit
import os

import pandas

import xai_ext.attr._builtin
import xai_ext.explainers._builtin
import xai_ext.lime_image
import xai_ext.study._pairs
import xai_ext.study._photo_workers
import xai_ext.study._worker

FORKED_WITH = (pandas, xai_ext)

atexit.register(os._exit, 0)  # it ends with the runner: at once, not after seconds of taking modules apart
