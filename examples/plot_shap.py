"""
The same method through SHAP
============================

A NumPy function, a masker with regions, and ``shap.image_plot``.
"""

import matplotlib.pyplot as plt
import shap
import skimage.data
from PIL import Image

from xai_ext import models, segmentation
from xai_ext.explainers import StratifiedLime
from xai_ext.maskers import Segments

classifier = models.load("efficientnet_lite0")
photo = Image.fromarray(skimage.data.coffee())
image = classifier.preprocess(photo)[0].movedim(0, -1).numpy()  # (H, W, C), as SHAP has images
predict = models.as_numpy_function(classifier.module)
top = predict(image[None])[0].argsort()[::-1][:2].tolist()

masker = Segments(image, labels=segmentation.slic(image, n_segments=50))
explainer = StratifiedLime(predict, masker, output_names=list(classifier.class_names), seed=0)
explanation = explainer(image[None], max_evals=200, outputs=top)
print(f"{explanation.output_names}: values {explanation.values.shape}, sums {explanation.values.sum((0, 1, 2, 3))}")

pixels = (image - image.min()) / (image.max() - image.min())
shap.image_plot(explanation, pixel_values=pixels[None], show=False)
plt.show()
