"""All that `python -m bench measure` is given in tests and must refuse."""

from bad_arrays import ARRAY_FILES, CODES, STATISTICS
from bad_image_files import ARCHIVES, FOLDERS, IMAGES
from bad_measure_options import OPTIONS, PAIRS
from bad_models import DIFFUSERS, MODELS, TORCH_FILES

BAD = [*IMAGES, *FOLDERS, *ARCHIVES, *ARRAY_FILES, *STATISTICS, *CODES, *MODELS, *TORCH_FILES, *DIFFUSERS, *OPTIONS, *PAIRS]
