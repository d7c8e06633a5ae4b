"""Settings every test needs before Qt or torch is imported: no screen, no GPU, software WebGL."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYTEST_QT_API", "pyside6")
os.environ.setdefault("OMP_NUM_THREADS", "1")
