"""The only package that uses private parts of Keras and TensorFlow; `tests/_keras/` has a contract test for each."""
