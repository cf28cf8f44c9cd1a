"""Builders that tests of several folders share: crystals, tiny runs, stand-ins."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
