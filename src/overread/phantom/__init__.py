"""A synthetic breast-ultrasound data set with known truth.

For trying the program without any patient's data, and for tests that must know the right answer.
The pictures resemble B-mode ultrasound closely enough to train on, and nothing more: figures
measured on them say nothing about medicine.
"""
